"""`netdiffuse doctor`."""

import json

from netdiffuse.cli.arguments import AsJson


def doctor(
    json_: AsJson = False,
) -> int:
    """Show versions, device, threads and extras, and train for five seconds to see that all works.

    Args:
        json_: print JSON.
    """
    from netdiffuse.cli.output import console, table_of, working
    from netdiffuse.experiments.self_test import examine

    with working("training for five seconds, and evaluating"):
        found = examine()
    test = found["self_test"]
    if json_:
        print(json.dumps(found))
        return 0 if test["passed"] else 1
    table = table_of("", "")
    table.show_header = False
    table.columns[1].justify = "left"
    for name, version in found["versions"].items():
        table.add_row(name, version)
    table.add_row("platform", found["platform"])
    table.add_row("device", f"{found['device']}, {found['cores']} cores, {found['threads']} threads")
    for extra, there in found["extras"].items():
        table.add_row(f"extra {extra}", "installed" if there else f"missing: pip install 'netdiffuse[{extra}]'")
    table.add_row(
        "self-test",
        f"{'passed' if test['passed'] else 'FAILED'}: {test['algorithm']} reached "
        f"{test['optimality_percent']:.1f}% of the optimum in 5 s of training "
        f"(equal split: {test['equal_percent']:.1f}%)",
    )
    console().print(table)
    return 0 if test["passed"] else 1
