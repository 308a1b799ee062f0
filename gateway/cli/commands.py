"""Joins the commands to the `gateway` program, in the order of the help text."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds every command to `app`. Heavy imports happen in the commands, so that help stays quick."""
    from gateway.cli import (
        apply,
        audit,
        check,
        demo,
        domains,
        domains_check,
        domains_import,
        explain,
        held,
        inspect,
        keys,
        password,
        queue,
        serve,
    )

    app.command("demo")(demo.demo)
    app.command("serve")(serve.serve)
    app.command("worker", hidden=True)(serve.worker)
    app.command("check")(check.check)
    app.command("apply")(apply.apply)
    app.command("inspect")(inspect.inspect)
    app.command("explain")(explain.explain)
    domains.app.command("import")(domains_import.import_list)
    domains.app.command("check")(domains_check.check)
    app.add_typer(domains.app, name="domains")
    app.add_typer(keys.app, name="keys")
    app.add_typer(queue.app, name="queue")
    app.add_typer(held.app, name="held")
    app.add_typer(audit.app, name="audit")
    app.command("password")(password.password)
    app.command("seal-key")(password.seal_key)
