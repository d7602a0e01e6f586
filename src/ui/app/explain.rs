//! Why the host of the page is not well: what is known around it, for the rules of
//! [`crate::model::explain`].

use super::Model;
use super::page::Page;
use crate::model::condition::{BUDGET_EXHAUSTED, TRUE, find};
use crate::model::explain::{Around, Reason, RequestView, SourceView, explain as reasons};

/// The reasons, the heaviest first; none while its object is not known.
pub fn explain(model: &Model, page: &Page) -> Option<Vec<Reason>> {
    let host = page.host.as_deref()?;
    let row = page.uid.as_ref().and_then(|uid| model.inventory.get(uid));
    let namespace = host.metadata.namespace.as_deref().unwrap_or_default();
    let server = page.place.as_ref().map(|place| place.server).unwrap_or_default();
    let names = host.status.iter().flat_map(|status| status.sources.keys());
    let source = |name: &String| {
        let (state, source) = model.sources.of(server, namespace, name)?;
        let last_pass = source.status.as_ref()?.last_pass.as_ref().map(|time| time.0);
        Some(SourceView { name: name.clone(), state, last_pass })
    };
    let cluster = row.and_then(|row| model.clusters.of(row));
    let used_up = cluster.and_then(|cluster| {
        let status = cluster.status.as_ref().filter(|s| s.disruptions_allowed == Some(0))?;
        let said = find(&status.conditions, BUDGET_EXHAUSTED).filter(|said| said.status == TRUE);
        Some((cluster.metadata.name.as_deref()?, said.map_or("", |said| said.message.as_str())))
    });
    let request = row.and_then(|row| model.certificates.newest_of(row)).map(|item| {
        let about = item.about();
        RequestView {
            name: about.name.clone(),
            state: about.state,
            created: about.created,
            expires: about.issued.as_ref().map(|issued| issued.not_after),
        }
    });
    let around = Around {
        sources: names.filter_map(source).collect(),
        used_up,
        cluster_paused: cluster.is_some_and(|cluster| cluster.spec.paused),
        request,
        unreadable: row.and_then(|row| row.problem()),
    };
    Some(reasons(host, &around, model.now))
}
