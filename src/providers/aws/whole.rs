//! Answers of EC2 that do not come to their end. The SDK's reader of XML takes what there is: a page
//! that broke off before its token would be the last one, and every host after it missing.
//!
//! And answers that are too long. What says beforehand how long it is, is refused unread. Of an answer
//! in chunks the SDK keeps all, in a body that cannot be wrapped without a dependency of its own for the
//! type; its bound is the time of one attempt. The endpoint is the operator's choice, and speaks TLS.

use aws_sdk_ec2::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef,
};
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;

/// Most bytes of one answer. A page of a thousand instances has about ten MiB.
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// Refuses what is not whole.
#[derive(Debug)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        fits(context.response().body().content_length()).map_err(Into::into)
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let whole = response.body().bytes().is_none_or(is_whole);
        if response.status().is_success() && !whole {
            return Err("the answer broke off".into());
        }
        Ok(())
    }
}

/// Whether an answer that says that it has so many bytes may be read.
fn fits(length: Option<u64>) -> Result<(), String> {
    match length {
        Some(length) if length > MAX_BODY => {
            Err(format!("the answer is longer than {} MiB", MAX_BODY / 1024 / 1024))
        }
        _ => Ok(()),
    }
}

/// Whether the body ends with its root element, `</DescribeInstancesResponse>` for example.
fn is_whole(body: &[u8]) -> bool {
    body.trim_ascii_end().ends_with(b"Response>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_says_it_is_too_long_is_not_read() {
        assert!(fits(None).is_ok() && fits(Some(MAX_BODY)).is_ok());
        assert_eq!(fits(Some(MAX_BODY + 1)).unwrap_err(), "the answer is longer than 64 MiB");
    }

    #[test]
    fn a_body_ends_with_its_root() {
        assert!(is_whole(b"<DescribeRegionsResponse><a/></DescribeRegionsResponse>\n"));
        for body in ["", "<DescribeInstancesResponse><reservationSet>", "<a></a>"] {
            assert!(!is_whole(body.as_bytes()), "{body}");
        }
    }
}
