def test_x(client):
    print(client.metadata().keys(), client.status())
    print(client.encode_text(["abc","de"]))
    print(client.search(["x"]))
    print(client.similarity(["red star"],[b"abc"]))
