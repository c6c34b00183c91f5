"""The tables, as SQLAlchemy sees them; the migrations make them."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, MetaData, Table, Text

metadata = MetaData()


def _resources(table: str, *own: Column[Any]) -> Table:
    """A table of named resources, which have these columns and their own."""
    return Table(
        table,
        metadata,
        Column("seq", Integer, primary_key=True),
        Column("id", Text),
        Column("region", Text),
        Column("name", Text),
        Column("created_ms", BigInteger),
        *own,
    )


names = Table(
    "names",
    metadata,
    Column("region", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("resource_type", Text),
    Column("resource_id", Text),
)

instances = _resources(
    "instances",
    Column("zone", Text),
    Column("support_code", Text),
    Column("blueprint_id", Text),
    Column("bundle_id", Text),
    Column("state", Text),
    Column("key_pair", Text),
    Column("ip_address_type", Text),
    Column("metadata_options", Text),
    Column("ports", Text),
    Column("slot", Integer),
    Column("host", Text),
)

static_ips = _resources("static_ips", Column("slot", Integer), Column("instance_id", Text))

key_pairs = _resources("key_pairs", Column("fingerprint", Text), Column("public_key", Text))

disks = _resources(
    "disks",
    Column("zone", Text),
    Column("support_code", Text),
    Column("size_gb", Integer),
    Column("state", Text),
    Column("attachment", Text),
    Column("instance_id", Text),
    Column("path", Text),
    Column("origin_id", Text),
    Column("ancestors", Text),
    Column("auto_mounting", Boolean),
    Column("is_system", Boolean),
    Column("host", Text),
)

disk_snapshots = _resources(
    "disk_snapshots",
    Column("support_code", Text),
    Column("size_gb", Integer),
    Column("disk_id", Text),
    Column("disk_name", Text),
    Column("disk_zone", Text),
    Column("state", Text),
    Column("frozen", Boolean),
    Column("progress", Integer),
    Column("pause_us", BigInteger),
    Column("consistency", Text),
    Column("rest_us", BigInteger),
    Column("rest_problem", Text),
    Column("parent_id", Text),
    Column("changed_bytes", BigInteger),
    Column("stored_bytes", BigInteger),
    Column("completed_ms", BigInteger),
    Column("part_of", Text),
    Column("disk_path", Text),
    Column("from_instance_id", Text),
    Column("from_instance_name", Text),
    Column("is_system", Boolean),
    Column("blueprint", Text),
    Column("content_id", Text),
    Column("from_auto", Boolean),
    Column("auto", Text),
    Column("lost", Text),
)

instance_snapshots = _resources(
    "instance_snapshots",
    Column("support_code", Text),
    Column("instance_id", Text),
    Column("instance_name", Text),
    Column("instance_zone", Text),
    Column("blueprint_id", Text),
    Column("bundle_id", Text),
    Column("from_auto", Boolean),
    Column("auto", Text),
)

vaults = Table(
    "vaults",
    metadata,
    Column("region", Text, primary_key=True),
    Column("copy", Text, primary_key=True),
    Column("vault_id", Text),
    Column("noted_ms", BigInteger),
)

auto_runs = Table(
    "auto_runs",
    metadata,
    Column("resource_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("region", Text),
    Column("policy", Text),
    Column("next_ms", BigInteger),
    Column("within_ms", BigInteger),
    Column("since_ms", BigInteger),
    Column("enabled", Boolean),
)

auto_failures = Table(
    "auto_failures",
    metadata,
    Column("resource_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("piece_ms", BigInteger, primary_key=True),
    Column("first_ms", BigInteger),
    Column("last_ms", BigInteger),
    Column("attempts", Integer),
    Column("reason", Text),
)

export_records = _resources(
    "export_records",
    Column("state", Text),
    Column("progress", Integer),
    Column("source_type", Text),
    Column("source_id", Text),
    Column("source_name", Text),
    Column("source_created_ms", BigInteger),
    Column("from_id", Text),
    Column("from_name", Text),
    Column("bundle_id", Text),
    Column("blueprint_id", Text),
    Column("disks", Text),
    Column("destination", Text),
    Column("server", Text),
)

tags = Table(
    "tags",
    metadata,
    Column("resource_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text),
)

operations = Table(
    "operations",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text),
    Column("region", Text),
    Column("zone", Text),
    Column("resource_id", Text),
    Column("resource_name", Text),
    Column("resource_type", Text),
    Column("type", Text),
    Column("details", Text),
    Column("status", Text),
    Column("created_ms", BigInteger),
    Column("changed_ms", BigInteger),
    Column("error_code", Text),
    Column("error_details", Text),
    Column("job_id", Text),
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", Text),
    Column("kind", Text),
    Column("key", Text),
    Column("region", Text),
    Column("created_ms", BigInteger),
    Column("arguments", Text),
    Column("step", Integer),
    Column("attempts", Integer),
    Column("not_before_ms", BigInteger),
    Column("undoing", Boolean),
    Column("owner", Text),
    Column("lease_until_ms", BigInteger),
    Column("error_code", Text),
    Column("error_details", Text),
    Column("group_id", Text),
    Column("zone", Text),
    Column("version", Integer),
    Column("generation", BigInteger),
    Column("server", Text),
)

job_reads = Table(
    "job_reads",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("snapshot_id", Text, primary_key=True),
)

servers = Table(
    "servers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("host", Text),
    Column("version", Text),
    Column("lanes", Text),
    Column("started_ms", BigInteger),
    Column("seen_ms", BigInteger),
    Column("ended", Boolean),
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("zones", Text),
    Column("address", Text),
    Column("secret", Text),
    Column("version", Text),
    Column("state", Text),
    Column("generation", BigInteger),
    Column("capacity_bytes", BigInteger),
    Column("free_bytes", BigInteger),
    Column("seen_ms", BigInteger),
    Column("shared_zones", Text),
)

rounds = Table(
    "rounds",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("region", Text, primary_key=True),
    Column("begun_ms", BigInteger),
)

shared_secrets = Table(
    "shared_secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", BigInteger),
    Column("sealed", Text),
)

join_secrets = Table(
    "join_secrets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("proof", Text),
    Column("wrapped", Text),
    Column("once", Boolean),
    Column("created_ms", BigInteger),
    Column("ends_ms", BigInteger),
)

shared_settings = Table(
    "shared_settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text),
    Column("server", Text),
    Column("changed_ms", BigInteger),
)

zones = Table(
    "zones",
    metadata,
    Column("name", Text, primary_key=True),
    Column("region", Text),
    Column("server_id", Text),
)

audit_lines = Table(
    "audit_lines",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("request_id", Text),
    Column("time_ms", BigInteger),
    Column("server", Text),
    Column("line", Text),
)

key_uses = Table(
    "key_uses",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("used_ms", BigInteger),
)

root_looks = Table(
    "root_looks",
    metadata,
    Column("region", Text, primary_key=True),
    Column("vault_id", Text),
    Column("closed", Text),
    Column("missing", Integer),
    Column("unknown", Integer),
    Column("seen_ms", BigInteger),
)

answers = Table(
    "answers",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("invocation_id", Text, primary_key=True),
    Column("operation", Text),
    Column("digest", Text),
    Column("answer", Text),
    Column("created_ms", BigInteger),
)

troubles = Table(
    "troubles",
    metadata,
    Column("key", Text, primary_key=True),
    Column("server", Text),
    Column("kind", Text),
    Column("region", Text),
    Column("resource", Text),
    Column("severity", Text),
    Column("text", Text),
    Column("since_ms", BigInteger),
    Column("noted_ms", BigInteger),
    Column("ended_ms", BigInteger),
)

trouble_tellings = Table(
    "trouble_tellings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("told_ms", BigInteger),
)

vault_runs = Table(
    "vault_runs",
    metadata,
    Column("region", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("ended_ms", BigInteger),
    Column("problems", BigInteger),
    Column("begun_ms", BigInteger),
    Column("percent", Double),
    Column("damaged", Text),
)

room_samples = Table(
    "room_samples",
    metadata,
    Column("server", Text, primary_key=True),
    Column("used_for", Text, primary_key=True),
    Column("at_ms", BigInteger, primary_key=True),
    Column("free_bytes", BigInteger),
)

leads = Table(
    "leads",
    metadata,
    Column("task", Text, primary_key=True),
    Column("server", Text),
    Column("until_ms", BigInteger),
)
