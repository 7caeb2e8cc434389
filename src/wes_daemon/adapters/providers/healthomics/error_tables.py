"""What the SDK's exceptions and AWS' error codes and statuses say about the effect of a call.

Exceptions are looked up by class name: older SDKs lack some of the classes, and this module imports nothing of the SDK.
"""

from collections.abc import Mapping
from enum import Enum, auto


class ErrorKind(Enum):
    """What an error says about the effect of the call."""

    NOTHING_SENT = auto()
    """Nothing was sent, because the service cannot be reached."""
    THROTTLED = auto()
    """The service refused the call because of its rate limit; the same call may succeed later."""
    QUOTA = auto()
    """A quota of the account is used up, and stays so for some minutes at least."""
    IN_DOUBT = auto()
    """The call may have been carried out."""
    FAILED = auto()
    """The call may have been carried out, and the service or the network has failed."""
    REFUSED = auto()
    """The request as it was sent can never succeed."""
    DENIED = auto()
    UNCLEAR = auto()
    """The request was refused with a status of its sender's fault, but with no known code."""
    CREDENTIALS = auto()
    SETUP = auto()


# Sources: botocore.exceptions, and the places in botocore.httpsession that raise them.
EXCEPTIONS: Mapping[str, ErrorKind] = {
    "EndpointConnectionError": ErrorKind.NOTHING_SENT,
    "ConnectTimeoutError": ErrorKind.NOTHING_SENT,
    "ProxyConnectionError": ErrorKind.NOTHING_SENT,
    "ConnectionError": ErrorKind.NOTHING_SENT,
    "CapacityNotAvailableError": ErrorKind.NOTHING_SENT,
    "ReadTimeoutError": ErrorKind.FAILED,
    "ConnectionClosedError": ErrorKind.FAILED,
    "HTTPClientError": ErrorKind.FAILED,
    "ResponseStreamingError": ErrorKind.FAILED,
    "IncompleteReadError": ErrorKind.FAILED,
    "ResponseParserError": ErrorKind.FAILED,
    "ChecksumError": ErrorKind.FAILED,
    "FlexibleChecksumError": ErrorKind.FAILED,
    "SSLError": ErrorKind.FAILED,
    # What cannot be sent: a value of the request, or the name of an S3 bucket.
    "ParamValidationError": ErrorKind.REFUSED,
    "InvalidDNSNameError": ErrorKind.REFUSED,
    "InvalidHostLabelError": ErrorKind.REFUSED,
    "NoCredentialsError": ErrorKind.CREDENTIALS,
    "NoAuthTokenError": ErrorKind.CREDENTIALS,
    "PartialCredentialsError": ErrorKind.CREDENTIALS,
    "CredentialRetrievalError": ErrorKind.CREDENTIALS,
    "TokenRetrievalError": ErrorKind.CREDENTIALS,
    "UnknownTokenProviderError": ErrorKind.CREDENTIALS,
    "MetadataRetrievalError": ErrorKind.CREDENTIALS,
    "UnknownCredentialError": ErrorKind.CREDENTIALS,
    "RefreshWithMFAUnsupportedError": ErrorKind.CREDENTIALS,
    "SSOError": ErrorKind.CREDENTIALS,
    "LoginError": ErrorKind.CREDENTIALS,
    "ProfileNotFound": ErrorKind.SETUP,
    "ConfigNotFound": ErrorKind.SETUP,
    "ConfigParseError": ErrorKind.SETUP,
    "InvalidConfigError": ErrorKind.SETUP,
    "InvalidProxiesConfigError": ErrorKind.SETUP,
    "MissingDependencyException": ErrorKind.SETUP,
    "BaseEndpointResolverError": ErrorKind.SETUP,
    "EndpointProviderError": ErrorKind.SETUP,
    "InvalidRegionError": ErrorKind.SETUP,
    "UnknownRegionError": ErrorKind.SETUP,
    "ServiceNotInRegionError": ErrorKind.SETUP,
    "InvalidEndpointConfigurationError": ErrorKind.SETUP,
    "InvalidEndpointDiscoveryConfigurationError": ErrorKind.SETUP,
    "InvalidIMDSEndpointError": ErrorKind.SETUP,
    "InvalidIMDSEndpointModeError": ErrorKind.SETUP,
    "InvalidRetryConfigurationError": ErrorKind.SETUP,
    "InvalidDefaultsMode": ErrorKind.SETUP,
    "InvalidChecksumConfigError": ErrorKind.SETUP,
    "InvalidS3AddressingStyleError": ErrorKind.SETUP,
    "InvalidS3UsEast1RegionalEndpointConfigError": ErrorKind.SETUP,
    "InvalidSTSRegionalEndpointsConfigError": ErrorKind.SETUP,
    "UnsupportedS3ConfigurationError": ErrorKind.SETUP,
    "UnknownSignatureVersionError": ErrorKind.SETUP,
    "UnsupportedSignatureVersionError": ErrorKind.SETUP,
    "UnsupportedServiceProtocolsError": ErrorKind.SETUP,
    "MD5UnavailableError": ErrorKind.SETUP,
    # An SDK that does not know HealthOmics, or an installation without its data.
    "DataNotFoundError": ErrorKind.SETUP,
    "ApiVersionNotFoundError": ErrorKind.SETUP,
}

# Sources: the eight errors of every HealthOmics operation in botocore's model; AWS' common errors; S3's.
CODES: Mapping[str, ErrorKind] = {
    "ThrottlingException": ErrorKind.THROTTLED,
    "Throttling": ErrorKind.THROTTLED,
    "TooManyRequestsException": ErrorKind.THROTTLED,
    "RequestLimitExceeded": ErrorKind.THROTTLED,
    "SlowDown": ErrorKind.THROTTLED,
    "ThrottledException": ErrorKind.THROTTLED,
    "RequestThrottledException": ErrorKind.THROTTLED,
    "RequestThrottled": ErrorKind.THROTTLED,
    "BandwidthLimitExceeded": ErrorKind.THROTTLED,
    "ServiceQuotaExceededException": ErrorKind.QUOTA,
    "InternalServerException": ErrorKind.FAILED,
    "InternalFailure": ErrorKind.FAILED,
    "InternalError": ErrorKind.FAILED,
    "ServiceUnavailable": ErrorKind.FAILED,
    "ServiceUnavailableException": ErrorKind.FAILED,
    "RequestTimeoutException": ErrorKind.IN_DOUBT,
    "RequestTimeout": ErrorKind.IN_DOUBT,
    "RequestAbortedException": ErrorKind.IN_DOUBT,
    "ConflictException": ErrorKind.IN_DOUBT,
    "ValidationException": ErrorKind.REFUSED,
    "ValidationError": ErrorKind.REFUSED,
    "SerializationException": ErrorKind.REFUSED,
    "MalformedHttpRequestException": ErrorKind.REFUSED,
    "RequestEntityTooLargeException": ErrorKind.REFUSED,
    "ResourceNotFoundException": ErrorKind.REFUSED,
    "AccessDeniedException": ErrorKind.DENIED,
    "AccessDenied": ErrorKind.DENIED,
    "NotAuthorized": ErrorKind.DENIED,
    "UnrecognizedClientException": ErrorKind.CREDENTIALS,
    "InvalidClientTokenId": ErrorKind.CREDENTIALS,
    "InvalidAccessKeyId": ErrorKind.CREDENTIALS,
    "InvalidSignatureException": ErrorKind.CREDENTIALS,
    "SignatureDoesNotMatch": ErrorKind.CREDENTIALS,
    "IncompleteSignatureException": ErrorKind.CREDENTIALS,
    "IncompleteSignature": ErrorKind.CREDENTIALS,
    "MissingAuthenticationTokenException": ErrorKind.CREDENTIALS,
    "MissingAuthenticationToken": ErrorKind.CREDENTIALS,
    "ExpiredTokenException": ErrorKind.CREDENTIALS,
    "ExpiredToken": ErrorKind.CREDENTIALS,
    "InvalidToken": ErrorKind.CREDENTIALS,
    "AuthFailure": ErrorKind.CREDENTIALS,
    "RequestExpired": ErrorKind.CREDENTIALS,
    "RequestTimeTooSkewed": ErrorKind.CREDENTIALS,
    "OptInRequired": ErrorKind.SETUP,
    "SubscriptionRequiredException": ErrorKind.SETUP,
    "UnknownOperationException": ErrorKind.SETUP,
    "NotSupportedOperationException": ErrorKind.SETUP,
}

# For responses without one of these codes, such as those of load balancers and proxies.
# A plain 404 comes from an address at which there is no HealthOmics.
HTTP_STATUSES: Mapping[int, ErrorKind] = {
    401: ErrorKind.DENIED,
    402: ErrorKind.QUOTA,
    403: ErrorKind.DENIED,
    404: ErrorKind.SETUP,
    405: ErrorKind.SETUP,
    407: ErrorKind.SETUP,
    408: ErrorKind.IN_DOUBT,
    # As a ConflictException, it may be the answer to a repeated request.
    409: ErrorKind.IN_DOUBT,
    429: ErrorKind.THROTTLED,
}
