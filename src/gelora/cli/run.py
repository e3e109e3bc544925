"""`gelora run`: the whole flow, from model and texts to adapter and report."""

from gelora.artifacts import REPORT_FILE
from gelora.cli import loading
from gelora.cli.config import Config
from gelora.cli.console import Output
from gelora.cli.forwarding import checked_inputs
from gelora.cli.measure import measure
from gelora.cli.plan import plan, plan_notes
from gelora.cli.report import write_run_report
from gelora.cli.tables import metrics_summary, rank_text
from gelora.cli.train import train
from gelora.ranks.decision import rank_decision
from gelora.report.decision import result_decision


def main(config: Config) -> Output:
    """Measure, plan, train, evaluate, report; show what came of each and a decision.

    All flags and all labels are checked before anything is measured.
    """
    arguments, data = checked_inputs(config)
    profile = measure(config, data, verb="run")
    planned = plan(config, profile, verb="run")
    metrics = train(
        config, data, planned, arguments=arguments, verb="run", with_encoder_baseline=True
    )
    report = config.folder / REPORT_FILE
    if loading.is_main_process():
        write_run_report(config.folder)
    decision = [*result_decision(metrics), *rank_decision(planned, profile)]
    parts = [
        "\n".join([rank_text(planned, profile), *plan_notes(planned, profile)]),
        metrics_summary(metrics),
        "\n".join(decision),
        str(report),
    ]
    payload = {"plan": planned.to_dict(), "metrics": metrics, "decision": decision}
    return Output("\n\n".join(parts), {**payload, "report": str(report)})
