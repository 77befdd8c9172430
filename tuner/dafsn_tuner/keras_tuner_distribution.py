"""Keras Tuner's chief and workers: one process holds the oracle, others ask it for trials over gRPC.

The service, its messages and the worker's loop are Keras Tuner's own. What is added: a worker that falls silent loses
its trial, which begins again elsewhere (Keras Tuner's chief would wait for it for ever); the error of a failed trial
reaches the chief; each call names its worker; and a chief that is started anew finds its workers waiting.

A worker's signs of life are the arrivals of its calls, each with its name in the metadata; while it trains, a thread of
it asks for its trial every few seconds. Names, trials and errors travel without encryption.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client
from keras_tuner.src.engine import conditions
from keras_tuner.src.engine.trial import Trial, TrialStatus

from dafsn_tf.errors import ConfigError, RunError
from dafsn_tuner.distribution import CHIEF_HOST, CHIEF_PORT, NAME, Place
from dafsn_tuner.keras_tuner_adapter import Tuner, quiet_failures
from dafsn_tuner.keras_tuner_oracles import number

BEAT = 3.0  # seconds between signs of life
SILENCE = 60.0  # seconds after which a worker counts as lost; on a machine with too much to do, living ones pass 30
GRACE = 10.0  # seconds in which the workers of a chief that was started anew claim their trials
WAIT = 600.0  # seconds that a worker waits for its chief
_POLL = 1.0  # seconds between questions of a worker that has nothing to do
_WORKER, _ERROR = "dafsn-worker", "dafsn-error-bin"
_LONGEST_ERROR = 2000  # bytes; gRPC bounds metadata to 8 KB

_service: Any = protos.get_service()
_stubs: Any = protos.get_service_grpc()
conditions.__dict__["print"] = lambda *values: None  # Keras Tuner 1.4.8 prints a value of each condition that it packs


@contextlib.contextmanager
def environment(worker: Place | None) -> Iterator[None]:
    """Set Keras Tuner's variables to a worker's place; without one there are none, and a tuner keeps its own oracle."""
    names = (CHIEF_HOST, CHIEF_PORT, NAME)
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    if worker is not None:
        os.environ.update({CHIEF_HOST: worker.host, CHIEF_PORT: str(worker.port), NAME: worker.name})
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


class Chief:
    """Serves an oracle at an address, which it takes at once.

    Args:
        place: where it listens.
        write: receives which workers come, are lost, and hand trials back.

    Raises:
        ConfigError: the address cannot be listened at.
    """

    def __init__(self, place: Place, write: Callable[[str], None]) -> None:
        self._place, self._write = place, write
        self._heard: dict[str, float] = {}
        self._lost: set[str] = set()
        self._pool = ThreadPoolExecutor(max_workers=1)  # all that touches the oracle runs in this one thread
        self._server = grpc.server(self._pool, interceptors=[_Hearing(self._hear)], options=[("grpc.so_reuseport", 0)])
        try:
            self._server.add_insecure_port(place.address)
        except RuntimeError as error:
            raise ConfigError(
                f"The chief cannot listen at {place.address}: it must be an address of this machine, and its port free."
            ) from error

    def serve(self, oracle: Any) -> None:
        """Hand out trials until no trial runs and none will begin."""
        servicer = _Servicer(oracle, self._write)
        _stubs.add_OracleServicer_to_server(servicer, self._server)
        self._server.start()
        self._write(f"waiting for workers at {self._place.address}: the same command, without --role chief")
        try:
            while not self._pool.submit(self._look_after, servicer).result():
                time.sleep(_POLL)
        finally:
            self._server.stop(grace=2 * _POLL).wait()

    def _hear(self, worker: str) -> None:
        if worker not in self._heard:
            self._write(f"{worker} {'is back' if worker in self._lost else 'has joined'}")
        self._heard[worker] = time.monotonic()

    def _look_after(self, servicer: "_Servicer") -> bool:
        """Hand on the trials of lost workers, and return whether the search has ended."""
        if servicer.error is not None:
            raise servicer.error
        oracle = servicer.oracle
        for worker in sorted(oracle.tuner_ids):
            if time.monotonic() - self._heard[worker] > SILENCE:
                self._lost.add(worker)
                del self._heard[worker]
                trial = oracle.give_back(worker, lost=True)
                what = "" if trial is None else f", and trial {trial} with it"
                none_left = "" if oracle.tuner_ids else "; no worker is left, the search waits for one"
                self._write(f"{worker} is lost (silent for {SILENCE:.0f} s){what}{none_left}")
        return oracle.ended()


class _Hearing(grpc.ServerInterceptor):
    """Notes who calls as the call arrives, however long the calls before it take."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        self._hear = hear

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        for name, value in handler_call_details.invocation_metadata:
            if name == _WORKER:
                self._hear(value)
        return continuation(handler_call_details)


class _Servicer(oracle_chief.OracleServicer):
    """Keras Tuner's service, in which a worker reports no trial but its own."""

    def __init__(self, oracle: Any, write: Callable[[str], None]) -> None:
        super().__init__(oracle)
        self.error: Exception | None = None
        self._write, self._began = write, time.monotonic()

    def CreateTrial(self, request: Any, context: Any) -> Any:
        if self.oracle.waiting() and time.monotonic() - self._began < GRACE:
            trial = Trial(self.oracle.get_space(), status=TrialStatus.IDLE)
            return _service.CreateTrialResponse(trial=trial.to_proto())
        with self._told():
            return super().CreateTrial(request, context)

    def GetTrial(self, request: Any, context: Any) -> Any:
        self._check(request.trial_id, context)
        return super().GetTrial(request, context)

    def UpdateTrial(self, request: Any, context: Any) -> Any:
        self._check(request.trial_id, context)
        with self._told():
            return super().UpdateTrial(request, context)

    def EndTrial(self, request: Any, context: Any) -> Any:
        """Record a trial with its error; one that is still running is handed back."""
        worker = self._check(request.trial.trial_id, context)
        trial = Trial.from_proto(request.trial)
        with self._told():
            if trial.status == TrialStatus.RUNNING:
                self._write(f"{worker} hands trial {self.oracle.give_back(worker)} back")
            else:
                trial.message = dict(context.invocation_metadata()).get(_ERROR, b"").decode(errors="replace")
                self.oracle.end_trial(trial)
        return _service.EndTrialResponse()

    def _check(self, trial_id: str, context: Any) -> str:
        """Return the calling worker's name, if the trial is its own."""
        worker = dict(context.invocation_metadata()).get(_WORKER, "")
        if not (worker and self.oracle.may_report(worker, trial_id)):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"trial {trial_id} is not this worker's")
        return worker

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Keep what goes wrong with the oracle for the chief, which ends with it."""
        try:
            yield
        except Exception as error:
            self.error = error
            raise


class _TrialTaken(Exception):
    """The chief has given a trial to another worker."""


class _ChiefGone(RunError, keras_tuner.errors.FatalError):
    """Ends a worker; Keras Tuner takes any other error for the trial's."""


class _Client(oracle_client.OracleClient):
    """What a worker knows of the oracle: Keras Tuner's client, with the worker's name and patience."""

    def __init__(self, oracle: Any, address: str, write: Callable[[str], None]) -> None:
        super().__init__(oracle)
        self._address, self._write = address, write
        self._channel = grpc.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 3000)])
        self.stub = _stubs.OracleStub(self._channel)
        self.running: Any = None  # the trial that is run
        self._taken: str | None = None
        self._closed = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)
        self._beating.start()

    def create_trial(self, tuner_id: str) -> Any:
        response = self._ask("CreateTrial", _service.CreateTrialRequest(tuner_id=tuner_id))
        trial = Trial.from_proto(response.trial)
        if trial.status == TrialStatus.IDLE:
            time.sleep(_POLL)
        if trial.status == TrialStatus.RUNNING:
            self.running, self._taken = trial, None
        return trial

    def get_trial(self, trial_id: str) -> Any:
        return Trial.from_proto(self._ask("GetTrial", _service.GetTrialRequest(trial_id=trial_id)).trial)

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        request = _service.UpdateTrialRequest(trial_id=trial_id, metrics=metrics, step=step)
        return Trial.from_proto(self._ask("UpdateTrial", request).trial)

    def end_trial(self, trial: Any) -> None:
        self.running = None
        lines = (trial.message or "").strip().splitlines()
        error = ((_ERROR, lines[-1].encode()[:_LONGEST_ERROR]),) if lines else ()
        self._ask("EndTrial", _service.EndTrialRequest(trial=trial.to_proto()), error)

    def check_own(self, trial: Any) -> None:
        """Stop a trial that another worker runs by now."""
        if self._taken == trial.trial_id:
            raise _TrialTaken

    def close(self) -> None:
        """Hand back what is still running, as far as the chief can be reached at once, and leave."""
        self._closed.set()
        if self.running is not None:
            self.running.status = TrialStatus.RUNNING
            request = _service.EndTrialRequest(trial=self.running.to_proto())
            with contextlib.suppress(grpc.RpcError):
                self.stub.EndTrial(request, metadata=self._metadata(), timeout=5)
            self.running = None
        self._beating.join()
        self._channel.close()

    def _metadata(self) -> tuple[tuple[str, Any], ...]:
        return ((_WORKER, self.tuner_id),)

    def _ask(self, method: str, request: Any, metadata: tuple[tuple[str, Any], ...] = ()) -> Any:
        """Return the chief's answer; one that is away is waited for."""
        until = time.monotonic() + WAIT
        while True:
            try:
                return getattr(self.stub, method)(
                    request,
                    metadata=(*self._metadata(), *metadata),
                    wait_for_ready=True,
                    timeout=max(until - time.monotonic(), _POLL),
                )
            except grpc.RpcError as caught:
                error: Any = caught
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                    raise _TrialTaken from error
                if error.code() == grpc.StatusCode.UNAVAILABLE and time.monotonic() < until:
                    time.sleep(_POLL)  # the connection broke; the next call waits for a new one
                    continue
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise _ChiefGone(_no_chief(self._address)) from error
                raise _ChiefGone(f"The chief at {self._address} failed: {error.details()}") from error

    def _beat(self) -> None:
        """Show that the worker lives, and notice whether the chief does."""
        away = False
        while not self._closed.wait(BEAT):
            trial = self.running
            if trial is None:
                continue
            request = _service.GetTrialRequest(trial_id=trial.trial_id)
            try:
                self.stub.GetTrial(request, metadata=self._metadata(), timeout=SILENCE)
            except grpc.RpcError as caught:
                error: Any = caught
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                    self._taken = trial.trial_id
                elif error.code() == grpc.StatusCode.UNAVAILABLE and not away:
                    away = True
                    self._write(
                        f"the chief at {self._address} does not answer; trial {number(trial)} goes on meanwhile"
                    )
                continue
            if away:
                away = False
                self._write(f"the chief at {self._address} answers again")


class WorkerTuner(Tuner):
    """Runs the trials that a chief hands out; `environment` must be that of its place."""

    write: Callable[[str], None]

    def save(self) -> None:
        """Keep nothing: the search's state is its chief's, and a killed worker would leave its file behind."""

    def on_trial_begin(self, trial: Any) -> None:
        self.write(f"trial {number(trial)} begins")
        super().on_trial_begin(trial)

    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: Any = None) -> None:
        self.oracle.check_own(trial)

    def on_trial_end(self, trial: Any) -> None:
        try:
            super().on_trial_end(trial)
        except _TrialTaken:
            self.write(f"trial {number(trial)} was given to another worker meanwhile; it ends here")
            return
        self.write(f"trial {number(trial)} has ended")


def wait_for_chief(place: Place, write: Callable[[str], None]) -> None:
    """Return when the chief can be reached.

    Raises:
        RunError: it cannot, for `WAIT` seconds.
    """
    with grpc.insecure_channel(place.address, [("grpc.max_reconnect_backoff_ms", 3000)]) as channel:
        ready = grpc.channel_ready_future(channel)
        try:
            ready.result(timeout=2 * _POLL)
        except grpc.FutureTimeoutError:
            write(f"waiting for the chief at {place.address}")
            try:
                ready.result(timeout=WAIT)
            except grpc.FutureTimeoutError:
                ready.cancel()
                raise RunError(_no_chief(place.address)) from None


def work(
    make: Callable[[type[Tuner]], Any], place: Place, callbacks: Sequence[Any], write: Callable[[str], None]
) -> None:
    """Run trials for a chief until it has no more; one that is interrupted goes back to it.

    Args:
        make: returns a tuner of a kind.
        place: the worker's.
        callbacks: of every trial.
        write: receives progress.
    """
    with environment(place), quiet_failures():
        tuner = make(WorkerTuner)
        tuner.write = write
        tuner.oracle = _Client(tuner.oracle._oracle, place.address, write)
        try:
            tuner.search(callbacks=list(callbacks), verbose=0)
        finally:
            tuner.oracle.close()


def _no_chief(address: str) -> str:
    return (
        f"The chief at {address} has not answered for {WAIT / 60:.0f} min. Start it with --role chief, with --resume "
        "too if the search had begun, then this worker again."
    )
