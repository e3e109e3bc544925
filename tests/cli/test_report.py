from gelora.cli import main
from lab.comparison.results_examples import example_results, write_results


def test_a_comparison_has_its_own_report(tmp_path, capsys):
    write_results(example_results({"gelora": 0.8, "full": 0.9}), tmp_path)
    assert main(["report", "--output_dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "GeLoRA comparison" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "table.md").is_file()
