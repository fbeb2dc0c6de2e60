from __future__ import annotations

import signal

from overspill.pools.engines.engine_log import EngineLog, say_exit

TRUNCATED = (
    b"0.00.003.725 E llama_model_load: error loading model: tensor 'blk.1.attn_v_b.weight' data is not within the file"
    b" bounds, model is corrupted or incomplete\n"
    b"0.00.003.745 E llama_model_load_from_file_impl: failed to load model\n"
)


def test_the_first_error_line_is_the_reason() -> None:
    log = EngineLog()
    log.feed(b"0.00.001.000 W load: something odd\n" + TRUNCATED)
    assert log.explain("llama.cpp cannot load m.gguf") == (
        "llama.cpp cannot load m.gguf: error loading model: tensor 'blk.1.attn_v_b.weight' data is not within the file"
        " bounds, model is corrupted or incomplete"
    )


def test_lines_are_put_together_from_any_pieces() -> None:
    log = EngineLog()
    for byte in TRUNCATED:
        log.feed(bytes([byte]))
    assert len(log.tail()) == 2


def test_the_log_is_bounded_in_lines_and_in_length() -> None:
    log = EngineLog()
    log.feed(b"x" * 1_000_000)
    log.feed(b"\n" + b"line\n" * 1000)
    assert len(log.tail()) == 200
    log.feed(b"y" * 1_000_000)
    log.close()
    assert max(map(len, log.tail())) <= 500


def test_an_error_about_a_request_is_not_taken_for_the_cause_of_death() -> None:
    log = EngineLog()
    log.feed(b"0.10.000.000 E srv send_error: task id = 7, error: request (6005 tokens) exceeds the context size\n")
    assert log.explain_death(-11, was_ready=True) == "the engine crashed (SIGSEGV) while it served"


def test_an_abort_is_explained_by_its_own_words() -> None:
    log = EngineLog()
    log.feed(b"0.01 E early: unrelated\n/src/llama-batch.cpp:42: GGML_ASSERT(n_tokens > 0) failed\n")
    log.close()
    text = log.explain_death(-6, was_ready=True)
    assert (
        text
        == "the engine aborted (SIGABRT) while it served: /src/llama-batch.cpp:42: GGML_ASSERT(n_tokens > 0) failed"
    )


def test_a_kill_during_the_load_names_the_likely_cause_and_the_cure() -> None:
    text = EngineLog().explain_death(-signal.SIGKILL, was_ready=False)
    assert text.startswith(
        "the engine was killed (SIGKILL) while it loaded; if nobody did that, memory ran out: lower max_"
    )


def test_the_last_line_serves_where_no_error_was_marked() -> None:
    log = EngineLog()
    log.feed(b"Traceback (most recent call last):\nModuleNotFoundError: No module named 'x'")
    log.close()
    assert log.explain_death(1, was_ready=False).endswith(
        "exited with code 1 while it loaded: ModuleNotFoundError: No module named 'x'"
    )


def test_any_signal_has_a_sentence() -> None:
    assert say_exit(-signal.SIGHUP) == "was ended by SIGHUP"
    assert say_exit(-200) == "was ended by signal 200"
