//! The policy file.

use std::path::Path;

use crate::config::{Misread, from_toml};
use crate::error::{Error, Result};
use crate::model::csr::Policy;

/// Reads a policy; the default one if no file is named.
///
/// # Errors
/// The file cannot be read or is malformed; the text names file, line and column.
pub(super) fn load(file: Option<&Path>) -> Result<Policy> {
    let Some(path) = file else { return Ok(Policy::default()) };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|cause| {
        Error::usage(format!("cannot read the policy \"{shown}\""))
            .because(cause)
            .hint("check the path given to --policy")
    })?;
    let policy: Policy = from_toml(&text).map_err(|Misread { line, column, what }| {
        Error::usage(format!("the policy \"{shown}:{line}:{column}\" is malformed: {what}"))
            .hint("\"inv-tui --headless approve --help\" names what a policy may say")
    })?;
    policy.check().map_err(|why| Error::usage(format!("the policy \"{shown}\": {why}")))?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_says_something_odd_is_refused_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            load(Some(&path))
        };
        let error = |text: &str| load(text).unwrap_err().to_string();
        assert!(load("deny = true\nmax-validity = \"12h\"").unwrap().deny);
        assert!(error("deny = true\nmax_validity = \"12h\"").contains("policy.toml:2:1\""));
        assert!(error("keys = [\"dsa\"]").contains("dsa"));
        assert!(error("max-validity = \"1m\"").contains("10 minutes"));
        assert!(error("signers = []").contains("signers"));
        assert!(error("bootstrap-group = \"system:authenticated\"").contains("everybody"));
        assert_eq!(super::load(None).unwrap(), Policy::default());
        assert_eq!(super::load(Some(Path::new("/nowhere"))).unwrap_err().exit_code(), 2);
    }
}
