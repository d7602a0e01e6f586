//! Errors of the AWS SDK in words that help.

use std::error::Error as StdError;

use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use super::{ProviderError, ProviderErrorKind};
use crate::error::Error;

/// Puts an error of the SDK into words. `fixed_endpoint`: somebody named the endpoint, so that a
/// name that does not resolve says nothing of the region.
pub(super) fn explain<E, R>(
    what: &str,
    region: &str,
    fixed_endpoint: bool,
    cause: &SdkError<E, R>,
) -> ProviderError
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let why = chain_of(cause);
    let (kind, hint) = if let Some(code) = cause.code() {
        by_code(code, region)
    } else {
        match cause {
            SdkError::DispatchFailure(failure) if failure.is_io() && !fixed_endpoint => (
                ProviderErrorKind::UnknownScope,
                format!(
                    "if \"{region}\" is spelled right, check the network; \"aws ec2 describe-regions\" lists the regions"
                ),
            ),
            SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
                (ProviderErrorKind::Unreachable, unreachable())
            }
            SdkError::TimeoutError(_) => (ProviderErrorKind::Unreachable, unreachable()),
            SdkError::DispatchFailure(_) if why.contains("redential") => {
                by_code("AuthFailure", region)
            }
            SdkError::ResponseError(_) => (
                ProviderErrorKind::Other,
                "what answered there does not speak as EC2 does; check the endpoint".to_owned(),
            ),
            _ => (ProviderErrorKind::Other, String::new()),
        }
    };
    let why = match (cause.code(), cause.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => why,
    };
    let error = Error::new(what).because(why);
    let error = if hint.is_empty() { error } else { error.hint(hint) };
    ProviderError { kind, error }
}

fn unreachable() -> String {
    "nobody answers there; check the network and the endpoint (--endpoint-url, AWS_ENDPOINT_URL)"
        .to_owned()
}

fn by_code(code: &str, region: &str) -> (ProviderErrorKind, String) {
    match code {
        "AuthFailure"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "UnrecognizedClientException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired" => (
            ProviderErrorKind::Credentials,
            "the access key or token is not valid or has expired; renew it, or name another --profile"
                .to_owned(),
        ),
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "Forbidden"
        | "OptInRequired" | "Blocked" | "PendingVerification" => (
            ProviderErrorKind::Denied,
            format!("the identity needs ec2:DescribeInstances (and ec2:DescribeInstanceStatus, ec2:DescribeRegions) in \"{region}\""),
        ),
        "RequestLimitExceeded" | "Throttling" | "ThrottlingException" | "TooManyRequestsException"
        | "SlowDown" => (
            ProviderErrorKind::Throttled,
            "AWS limits the requests of the account in this region; fetch less often, or ask for a higher limit"
                .to_owned(),
        ),
        _ => (ProviderErrorKind::Other, String::new()),
    }
}

/// The whole chain of an error of the SDK on one line; their own text is only "dispatch failure".
pub(super) fn chain_of(error: &(dyn StdError + 'static)) -> String {
    crate::error::chain(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_fall_into_classes() {
        for (code, kind) in [
            ("AuthFailure", ProviderErrorKind::Credentials),
            ("UnauthorizedOperation", ProviderErrorKind::Denied),
            ("RequestLimitExceeded", ProviderErrorKind::Throttled),
            ("InternalError", ProviderErrorKind::Other),
        ] {
            assert_eq!(by_code(code, "eu-west-1").0, kind, "{code}");
        }
    }
}
