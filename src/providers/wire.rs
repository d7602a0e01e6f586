//! What the maps of several providers share: values that may be null, addresses, and the places of
//! pages.

use std::collections::HashSet;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use crate::model::host::{Address, AddressType};
use crate::model::text;

/// Longest name of a machine in the DNS.
const MAX_NAME: usize = 253;

/// The value, or its default where it is null.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The text without blanks around it, if there is any.
pub(super) fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// An object with an address in it.
#[derive(Deserialize)]
pub(super) struct Ip {
    /// The address, as the provider writes it.
    pub(super) address: Option<String>,
}

/// Addresses, each once, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Addresses(Vec<Address>);

impl Addresses {
    /// Adds an address if it is one. What is no address, or no name of a machine, is left out, for
    /// other programs connect to it; so is one of zeros, which says that there is none yet.
    pub(super) fn add(&mut self, type_: AddressType, text: Option<&str>) {
        let Some(text) = filled(text) else { return };
        let is_name = matches!(
            type_,
            AddressType::Hostname | AddressType::InternalDNS | AddressType::ExternalDNS
        );
        let fits = if is_name {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            text.len() <= MAX_NAME && !text.starts_with('-') && text.chars().all(legal)
        } else {
            text.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified())
        };
        let address = Address { type_, address: text.to_owned() };
        if fits && !self.0.contains(&address) {
            self.0.push(address);
        }
    }

    /// All of them.
    pub(super) fn all(self) -> Vec<Address> {
        self.0
    }
}

/// The address of a page about a host, if it can be opened and shown.
pub(super) fn page_url(url: &str) -> Option<String> {
    let web = url.starts_with("https://") || url.starts_with("http://");
    let odd = |c: char| c.is_whitespace() || text::is_hostile(c);
    (web && !url.chars().any(odd)).then(|| url.to_owned())
}

/// The tokens of the pages that were asked for. A server that sends one a second time would have us
/// read in circles.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashSet<String>);

impl Tokens {
    /// Whether this one is new.
    pub(super) fn take(&mut self, token: &str) -> bool {
        self.0.insert(token.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_connected_to_is_an_address() {
        let mut found = Addresses::default();
        for (type_, text) in [
            (AddressType::InternalIP, Some(" 10.0.0.1 ")),
            (AddressType::InternalIP, Some("10.0.0.1")),
            (AddressType::InternalIP, Some("0.0.0.0")),
            (AddressType::InternalIP, Some("web-1")),
            (AddressType::InternalIP, None),
            (AddressType::ExternalIP, Some("2001:db8::1")),
            (AddressType::OOB, Some("10.0.0.1/24")),
            (AddressType::Hostname, Some("-oProxyCommand=id")),
            (AddressType::Hostname, Some("a b")),
            (AddressType::ExternalDNS, Some("web\u{202e}.example.com")),
            (AddressType::InternalDNS, Some("web_1.example.com")),
        ] {
            found.add(type_, text);
        }
        let all: Vec<_> = found.all().into_iter().map(|a| a.address).collect();
        assert_eq!(all, ["10.0.0.1", "2001:db8::1", "web_1.example.com"]);
    }

    #[test]
    fn pages_are_on_the_web_and_harmless() {
        assert!(page_url("https://nb.example.com/dcim/devices/7/").is_some());
        for url in ["javascript:alert(1)", "https://x/\u{1b}[2J", "https://x/a b", ""] {
            assert_eq!(page_url(url), None, "{url:?}");
        }
    }
}
