"""The plug-in of AWS HealthOmics: its settings, and how the provider and its hints are built from them."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, SecretStr

from wes_daemon.adapters.providers.healthomics.config import CALLS_PER_SECOND, HealthOmicsConfig
from wes_daemon.adapters.providers.healthomics.profile import profile_region
from wes_daemon.application.ports.errors import Misconfigured, ProviderError
from wes_daemon.application.ports.providers import Submission
from wes_daemon.domain.runs import ProviderType
from wes_daemon.plugins import Configured, Missing, ProviderPlugin, ProviderSettings, ProviderTools, ProviderTraits
from wes_daemon.plugins.accounts import account_name
from wes_daemon.plugins.rates import Rate, read_rates
from wes_daemon.plugins.setting_types import MonthInSeconds, Token

if TYPE_CHECKING:
    from wes_daemon.adapters.providers.healthomics.hints import SqsHints
    from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider

_OFF = "off"
_REGION = r"^[a-z]{2}(-[a-z]+)+-\d$"
_LAST_REGION = "us-east-1"
# An ARN is arn:partition:service:region:account:resource.
_ACCOUNT_IN_ARN = 4


def _operation_rates(value: object) -> object:
    if not isinstance(value, str):
        return value
    defaults = {operation: Rate(calls=calls) for operation, calls in CALLS_PER_SECOND.items()}
    return {} if value == _OFF else defaults | read_rates(value)


OperationRates = Annotated[Mapping[str, Rate], BeforeValidator(_operation_rates)]
"""`StartRun=1,GetRun=10`: calls per second by operation; an operation without a rate has its default; `off`: empty."""


class HealthOmicsSettings(ProviderSettings):
    """The settings of one AWS account and region."""

    access_key_id: Token = Field(
        None,
        validation_alias="AWS_ACCESS_KEY_ID",
        description="AWS access key; without it boto3 searches for credentials in its usual places.",
    )
    secret_access_key: Token = Field(
        None, validation_alias="AWS_SECRET_ACCESS_KEY", description="The secret that belongs to the access key."
    )
    session_token: Token = Field(
        None, validation_alias="AWS_SESSION_TOKEN", description="The token that belongs to temporary keys."
    )
    region: str | None = Field(
        None,
        validation_alias="AWS_REGION",
        pattern=_REGION,
        examples=["us-east-1"],
        description="AWS region of the HealthOmics runs; without it AWS_DEFAULT_REGION, then the region of the AWS "
        "profile, then us-east-1.",
    )
    default_region: str | None = Field(
        None,
        validation_alias="AWS_DEFAULT_REGION",
        pattern=_REGION,
        examples=["us-east-1"],
        description="The variable in which boto3 expects the region; it counts where AWS_REGION is not set.",
    )
    workflow_role_arn: str | None = Field(
        None,
        validation_alias="AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN",
        pattern=r"^arn:\S+$",
        examples=["arn:aws:iam::ACCOUNT:role/NAME"],
        description="Role that HealthOmics assumes for the runs.",
    )
    output_uri: str | None = Field(
        None,
        validation_alias="AWS_HEALTHOMICS_OUTPUT_URI",
        pattern=r"^s3://\S+$",
        examples=["s3://bucket/prefix"],
        description="Where HealthOmics stores the outputs: s3://bucket/prefix.",
    )
    rate_limits: OperationRates = Field(
        ",".join(f"{operation}={calls:g}" for operation, calls in CALLS_PER_SECOND.items()),
        validate_default=True,
        validation_alias="AWS_HEALTHOMICS_RATE_LIMITS",
        description="Calls per second by operation, or off; operations that are not named keep their defaults.",
    )
    resend_horizon: MonthInSeconds = Field(
        43_200,
        validate_default=True,
        validation_alias="AWS_HEALTHOMICS_RESEND_HORIZON",
        description="Seconds for which HealthOmics is expected to recognise a repeated request after a lost answer.",
    )
    events_queue_url: str | None = Field(
        None,
        validation_alias="AWS_HEALTHOMICS_EVENTS_QUEUE_URL",
        pattern=r"^https?://[^/\s?#@]+/[0-9]{12}/[\w-]{1,80}(\.fifo)?$",
        examples=["https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"],
        description="SQS queue to which EventBridge sends the status changes of HealthOmics runs, as hints.",
    )

    @cached_property
    def region_of_runs(self) -> str:
        """The AWS region of the runs, from the settings or from the AWS profile.

        Raises:
            Misconfigured: the profile cannot be read.
        """
        return self.region or self.default_region or profile_region() or _LAST_REGION


class HealthOmicsPlugin(ProviderPlugin[HealthOmicsSettings]):
    """AWS HealthOmics: one account, one region, one default role."""

    contract = 1
    name = ProviderType.HEALTHOMICS
    traits = ProviderTraits(title="AWS HealthOmics", engines=("AWSHealthOmics",))
    settings = HealthOmicsSettings

    def is_configured(self, settings: HealthOmicsSettings) -> Configured | Missing:
        # A run may name the one that is not configured.
        if settings.workflow_role_arn is None and settings.output_uri is None:
            return Missing(
                settings=("AWS_HEALTHOMICS_WORKFLOW_ROLE_ARN", "AWS_HEALTHOMICS_OUTPUT_URI"),
                is_partial=settings.events_queue_url is not None,
            )
        try:
            return Configured(target=f"{settings.output_uri or 's3'}@{settings.region_of_runs}")
        except Misconfigured:
            # The provider reports it when a run needs it: the daemon may serve other providers.
            return Configured(target=f"{settings.output_uri or 's3'}@unknown")

    def build(self, settings: HealthOmicsSettings, tools: ProviderTools) -> "HealthOmicsProvider":
        from wes_daemon.adapters.providers.healthomics.provider import HealthOmicsProvider

        gate = tools.gate(
            settings.rate_limits, account=account_name(self.name, settings.region_of_runs, _account(settings))
        )
        return HealthOmicsProvider(_config(settings, tools), clock=tools.clock, gate=gate)

    def hints(self, settings: HealthOmicsSettings, tools: ProviderTools) -> "SqsHints | None":
        from wes_daemon.adapters.providers.healthomics.hints import SqsHints, queue_location

        if settings.events_queue_url is None:
            return None
        region, _ = queue_location(settings.events_queue_url)
        return SqsHints(settings.events_queue_url, _config(settings, tools, region=region))

    def check_request(self, settings: HealthOmicsSettings, submission: Submission) -> None:
        from wes_daemon.adapters.providers.healthomics.start_request import start_run_request

        start_run_request(
            submission,
            HealthOmicsConfig(
                region=settings.region_of_runs, role_arn=settings.workflow_role_arn, output_uri=settings.output_uri
            ),
        )

    def takes_workflow(self, settings: HealthOmicsSettings, submission: Submission) -> bool:
        from wes_daemon.adapters.providers.healthomics.start_request import parse_workflow_url

        try:
            parse_workflow_url(submission.request.workflow_url, region=settings.region_of_runs)
        except ProviderError:
            return False
        return True


def _config(settings: HealthOmicsSettings, tools: ProviderTools, *, region: str | None = None) -> HealthOmicsConfig:
    """Return the configuration of the AWS clients.

    Args:
        region: another region than that of the runs.

    Raises:
        Misconfigured: no setting names the region, and the AWS profile cannot be read.
    """
    return HealthOmicsConfig(
        region=region or settings.region_of_runs,
        role_arn=settings.workflow_role_arn,
        output_uri=settings.output_uri,
        access_key_id=_revealed(settings.access_key_id),
        secret_access_key=_revealed(settings.secret_access_key),
        session_token=_revealed(settings.session_token),
        resend_horizon=settings.resend_horizon,
        connect_timeout=tools.connect_timeout,
        read_timeout=tools.read_timeout,
        connections=tools.connections,
    )


def _account(settings: HealthOmicsSettings) -> str:
    """Return an identifier of the AWS account, without a request: the account in the role's ARN, else the access key.

    Access keys are replaced from time to time; the account of the role stays the same.
    """
    role = (settings.workflow_role_arn or "").split(":")
    return role[_ACCOUNT_IN_ARN] if len(role) > _ACCOUNT_IN_ARN else _revealed(settings.access_key_id) or ""


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
