//! Hosts for the unit tests of this task.

use k8s_openapi::jiff::Timestamp;

use crate::model::diff::Contested;
use crate::model::host::Phase;
use crate::store::hosts::Known;

/// A known host in whom nothing is special.
pub(super) fn known() -> Known {
    Known {
        uid: "u".into(),
        resource_version: "1".into(),
        main: 0,
        status: 0,
        contested: Contested::default(),
        native: "i-1".into(),
        state: Phase::Running,
        since: Timestamp::UNIX_EPOCH,
        missed: 0,
        guest: None,
        provider: None,
        duplicate: None,
        seen: None,
        healthy: None,
        trouble: None,
        held_until: None,
        kept: None,
        deleting: false,
        scope: "eu-west-1".into(),
        account: "1".into(),
        appeared: tokio::time::Instant::now(),
    }
}
