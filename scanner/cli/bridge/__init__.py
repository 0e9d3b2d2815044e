"""scanner queue bridge: copies the stream to NATS JetStream, to Kafka, or to a webhook.

What is secret never stands on a command line, where everybody on the machine reads it: it comes from a file
of mode 0600, or from the environment.
"""

from scanner.cli.bridge import kafka as kafka  # adds `kafka`
from scanner.cli.bridge import nats as nats  # adds `nats`
from scanner.cli.bridge import webhook as webhook  # adds `webhook` and `secret`
