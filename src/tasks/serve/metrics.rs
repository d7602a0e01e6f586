//! What the server counts, looked at when somebody asks.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::server::{Census, Server};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    resource: String,
}

struct Sizes<F>(F);

impl<F> std::fmt::Debug for Sizes<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sizes")
    }
}

/// The metrics of this server. They do not keep it from ending.
pub(super) fn registry(server: &Server) -> Arc<Registry> {
    let mut root = Registry::with_prefix("inv_tui_serve");
    root.register(
        "build",
        "Which program this is",
        Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
    );
    root.register_collector(Box::new(Sizes(server.census())));
    Arc::new(root)
}

impl<F: Fn() -> Option<Census> + Send + Sync + 'static> Collector for Sizes<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let Some(census) = (self.0)() else { return Ok(()) };
        let help = "Writes that the store has taken since it was made";
        let writes = encoder.encode_descriptor("writes", help, None, MetricType::Counter)?;
        ConstCounter::new(census.revision).encode(writes)?;
        let mut family = |name: &str, help: &str, pick: fn(&(String, usize, usize)) -> usize| {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for shelf in &census.shelves {
                let number: Gauge<i64, AtomicI64> = Gauge::default();
                number.set(i64::try_from(pick(shelf)).unwrap_or(i64::MAX));
                let labels = Resource { resource: shelf.0.clone() };
                number.encode(metric.encode_family(&labels)?)?;
            }
            Ok(())
        };
        family("objects", "Objects of a resource", |(_, objects, _)| *objects)?;
        family("watches", "Watches on a resource", |(.., watches)| *watches)
    }
}
