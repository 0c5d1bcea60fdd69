"""`headwater topics`: compare Kafka's topics with the needed ones, and create them."""

from argparse import ArgumentParser, Namespace

from flows.commands.verb import Verb
from flows.errors.user_errors import CommandError
from flows.home.configuration import find_stream, load_settings
from flows.home.home import wanted_topics
from flows.home.open_log import needing_kafka
from flows.terminal.console import TerminalConsole


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--apply", action="store_true", help="create and change all that can be")


def _run(arguments: Namespace) -> int:
    settings, console = load_settings(), TerminalConsole()
    if settings.log != "kafka":
        msg = f"topics must be Kafka's; got log = {settings.log!r} in the settings"
        raise CommandError(msg)
    partitions = settings.partitions or find_stream(settings.stream).partitions
    with needing_kafka():
        from flows.home.kafka import kafka_comparison  # noqa: PLC0415 - needs an extra

        topics = kafka_comparison(settings.kafka)
    wanted = {settings.kafka.prefix + name: n for name, n in wanted_topics(partitions).items()}
    left = []
    for difference in topics.differences(wanted):
        console.print(difference.line, highlight=False, soft_wrap=True)
        if not (arguments.apply and topics.mend(difference)):
            left.append(difference)
    said = f"differences: {len(left)}" if left else "no differences"
    console.print(f"{len(wanted)} topics, {said}", highlight=False)
    return 1 if left else 0


TOPICS = Verb(
    name="topics",
    help="compare Kafka's topics with the needed ones, create them",
    description=(
        "One line for each difference: + a topic to create, ~ a setting to change, ! a difference "
        "that this command never changes, such as the partition count. It never deletes anything. "
        "The exit code is 1 if a difference is left."
    ),
    examples="""\
  headwater topics
  headwater topics --apply""",
    arguments=_arguments,
    call=_run,
    stopped="topics that were created stay",
)
