//! Answers of EC2 that do not come to their end. The SDK's reader of XML takes what there is: a page
//! that broke off before its token would be the last one, and every host after it missing.

use aws_sdk_ec2::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_ec2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ec2::error::BoxError;

/// Refuses what is not whole.
#[derive(Debug)]
pub(super) struct Whole;

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
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

/// Whether the body ends with its root element, `</DescribeInstancesResponse>` for example.
fn is_whole(body: &[u8]) -> bool {
    body.trim_ascii_end().ends_with(b"Response>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_with_its_root() {
        assert!(is_whole(b"<DescribeRegionsResponse><a/></DescribeRegionsResponse>\n"));
        for body in ["", "<DescribeInstancesResponse><reservationSet>", "<a></a>"] {
            assert!(!is_whole(body.as_bytes()), "{body}");
        }
    }
}
