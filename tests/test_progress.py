"""Long work is never silent: a bar, or a line of the log now and then."""

import pytest

from gelora import progress


def test_progress_bar_logs_lines_where_there_is_no_terminal(monkeypatch, caplog, capsys):
    caplog.set_level("INFO")
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with progress.progress_bar(40, description="Measuring", unit="text", shown=None) as bar:
        bar.update(10)
        bar.update(30)
    assert any("Measuring" in line and "10/40" in line for line in caplog.messages)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("shown", "is_drawn"), [(True, True), (False, False), (None, False)])
def test_progress_bar_is_drawn_where_it_is_asked_for(shown, is_drawn, capsys, caplog):
    caplog.set_level("INFO")
    with progress.progress_bar(4, description="Measuring", unit="text", shown=shown) as bar:
        bar.update(4)
    assert ("Measuring" in capsys.readouterr().err) == is_drawn
    assert not caplog.messages  # within ten seconds there is nothing to say


def test_progress_bar_is_drawn_at_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.progress_bar(4, description="Measuring", unit="text", shown=None) as bar:
        bar.update(4)
    assert "Measuring" in capsys.readouterr().err
