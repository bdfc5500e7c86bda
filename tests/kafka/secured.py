"""Apache Kafka with an authorizer, and with listeners that require a login over TLS.

The listener of the settings (`KAFKA_PORT`) is the administrators': it allows everything. On the
others a user may do only what `grant` has granted.
"""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from adapters.kafka.connection import connection_options
from dev.stack.ports import more_free_ports
from dev.stack.production import servers
from dev.stack.supervisor import Supervisor
from settings import LOCALHOST, Settings
from tests.support.certificates import Certificates, certificates_in
from tests.support.waiting import eventually

PASSWORD = "the password of cart"
_MODULES = "org.apache.kafka.common.security"
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3


class Resource(IntEnum):
    """Kafka's codes (org.apache.kafka.common.resource.ResourceType)."""

    TOPIC = 2
    GROUP = 3
    CLUSTER = 4


class Operation(IntEnum):
    """Kafka's codes (org.apache.kafka.common.acl.AclOperation)."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


@dataclass(frozen=True)
class SecuredKafka:
    """`admin` are the settings of the administrators' listener."""

    admin: Settings
    sasl_port: int
    tls_port: int
    certificates: Certificates

    def settings(self, **more: Any) -> Settings:
        """Settings of a client of SASL, or with SSL of the other listener."""
        port = self.tls_port if more.get("kafka_security_protocol") == "SSL" else self.sasl_port
        given: dict[str, Any] = {
            "kafka_brokers": f"{LOCALHOST}:{port}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ssl_ca_file": self.certificates.authority,
            "publish_timeout_seconds": 20,
        }
        return Settings(**(given | more))

    async def grant(
        self,
        user: str,
        operation: Operation,
        resource: Resource,
        name: str,
        *,
        prefix: bool = False,
    ) -> None:
        """Creates a rule that allows a user an operation; returns once the broker enforces it."""
        rule: dict[str, Any] = {
            "resource_type": resource,
            "resource_name": name,
            "resource_pattern_type_filter": _PREFIXED if prefix else _LITERAL,
            "principal": f"User:{user}",
            "host": "*",
            "operation": operation,
            "permission_type": _ALLOW,
        }
        admin = AIOKafkaAdminClient(**connection_options(self.admin))
        await admin.start()

        async def in_force() -> None:
            found: Any = await admin._send_request(DescribeAclsRequest(**rule))
            assert found.resources, found

        try:
            answer: Any = await admin._send_request(CreateAclsRequest(**rule))
            [(code, text)] = answer.creation_responses
            assert code == 0, text
            await eventually(in_force)
        finally:
            await admin.close()


@asynccontextmanager
async def secured_kafka(folder: Path) -> AsyncIterator[SecuredKafka]:
    """The broker, while the block runs."""
    certificates = certificates_in(folder)
    admin_port, sasl_port, tls_port = more_free_ports(3)
    settings = Settings(local_dir=folder, kafka_port=admin_port, kafka_idempotence=True)
    more = {
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,TLS:SSL"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.authority),
        "listener.name.tls.ssl.client.auth": "required",
        "listener.name.sasl.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": (
            f"{_MODULES}.scram.ScramLoginModule required;"
        ),
        "listener.name.sasl.plain.sasl.jaas.config": (
            f'{_MODULES}.plain.PlainLoginModule required user_cart="{PASSWORD}";'
        ),
        # Accepts tokens without a signature, and so needs no issuer.
        "listener.name.sasl.oauthbearer.sasl.jaas.config": (
            f"{_MODULES}.oauthbearer.OAuthBearerLoginModule required "
            'unsecuredLoginStringClaim_sub="broker";'
        ),
    }
    spec = servers.kafka(
        settings,
        folder,
        f"{LOCALHOST}:{admin_port}",
        listeners={"SASL": sasl_port, "TLS": tls_port},
        more=more,
        format_options=("--add-scram", f'SCRAM-SHA-512=[name=cart,password="{PASSWORD}"]'),
    )
    supervisor = Supervisor([spec], log_dir=folder / "logs", echo=print)
    await supervisor.start()
    try:
        yield SecuredKafka(settings, sasl_port, tls_port, certificates)
    finally:
        await supervisor.stop()


def unsigned_token(user: str, seconds: int) -> str:
    """A token that the broker accepts (RFC 7515, appendix A.5)."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": user, "iat": now, "exp": now + seconds})
    return ".".join(
        [
            *(
                base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=")
                for one in parts
            ),
            "",
        ]
    )
