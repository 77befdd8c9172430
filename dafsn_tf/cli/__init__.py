"""Commands of `dafsn`: each parses, calls one public function and prints."""
