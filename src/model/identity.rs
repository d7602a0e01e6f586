//! Which machine a host is, whatever its name: the written rules by which the same machine of two
//! sources becomes one Host. Pure; kept as hashes, so that an index over a whole fleet is small.
//!
//! # The keys, in their order
//! 1. `providerID`. The scheme (and the authority, except for `aws`, whose ids are unique in the
//!    world) is its *kind*; ids of different kinds say nothing about each other. Of `aws` only the
//!    instance counts, because some programs leave out the zone. Ids that are only a name
//!    (`k3s://worker-1`) identify nothing.
//! 2. The hardware UUID, in whichever of its two byte orders it was read.
//! 3. The serial number, together with the vendor. Case and blanks do not count, nor does what a
//!    vendor puts behind its name (`Inc.`).
//! 4. Any MAC address that is neither administered locally nor shared by design.
//!
//! Names and IP addresses are no keys. What firmware says when nobody filled it in ("To be filled by
//! O.E.M.", all zeros) identifies nothing.
//!
//! # Two hosts
//! The first key that both have decides: equal, the same machine; different, two machines, whatever
//! the keys after it say. A serial number without the same known vendor on both sides is no proof: if
//! it is equal, and no MAC address decides, they *may* be the same machine, which is for a person to
//! say.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::diff::{Part, StoredHost, at};

/// Most MAC addresses of one host that count.
pub const MAX_MACS: usize = 8;

/// Which key two hosts have in common, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// `spec.providerID`, or that of a source.
    ProviderId,
    /// Hardware UUID.
    Uuid,
    /// Vendor and serial number.
    Serial,
    /// A MAC address.
    Mac,
}

impl Rank {
    /// What people call the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderId => "providerID",
            Self::Uuid => "hardware UUID",
            Self::Serial => "vendor and serial number",
            Self::Mac => "MAC address",
        }
    }
}

/// What two hosts are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// One machine, by this key.
    Same(Rank),
    /// Two machines, by this key.
    Different(Rank),
    /// Perhaps one: a serial number that is equal, without the vendor that would prove it.
    Unsure,
    /// They have no key in common.
    Unrelated,
}

/// What is known of a machine's identity, as it was read.
#[derive(Clone, Debug, Default)]
pub struct Claims<'a> {
    /// The ids at its providers.
    pub provider_ids: Vec<&'a str>,
    /// Hardware UUID.
    pub uuid: Option<&'a str>,
    /// Maker.
    pub vendor: Option<&'a str>,
    /// Serial number.
    pub serial: Option<&'a str>,
    /// MAC addresses.
    pub macs: Vec<&'a str>,
}

/// The keys of a machine as hashes; those that identify nothing are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Kind and id, sorted.
    provider_ids: Box<[(u64, u64)]>,
    uuid: Option<u64>,
    serial: Option<u64>,
    vendor: Option<u64>,
    /// Sorted.
    macs: Box<[u64]>,
}

impl Fingerprint {
    /// The fingerprint of a machine of which this is known.
    pub fn of(claims: &Claims<'_>) -> Self {
        let ids = claims.provider_ids.iter().filter_map(|id| provider_id(id));
        let mut ids: Vec<_> =
            ids.map(|(kind, id)| (hash("kind", &kind), hash("id", &id))).collect();
        ids.sort_unstable();
        ids.dedup();
        let macs = claims.macs.iter().filter_map(|text| mac(text));
        let mut macs: Vec<u64> = macs.map(|mac| hash("mac", &mac)).collect();
        macs.sort_unstable();
        macs.dedup();
        let serial = claims.serial.and_then(serial);
        Self {
            provider_ids: ids.into_boxed_slice(),
            uuid: claims.uuid.and_then(uuid).map(|uuid| hash("uuid", &uuid)),
            vendor: claims
                .vendor
                .filter(|_| serial.is_some())
                .and_then(vendor)
                .map(|v| hash("vendor", &v)),
            serial: serial.map(|serial| hash("serial", &serial)),
            macs: macs.into_boxed_slice(),
        }
    }

    /// The fingerprint of a stored host: what stands in its spec, and what its sources say.
    pub fn stored(host: &StoredHost) -> Self {
        Self::read(host, None, None)
    }

    /// The same without what this source and its field manager have said themselves; but
    /// `spec.providerID`, which nobody can take back, is the host's.
    pub fn stored_by_others(host: &StoredHost, source: &str, manager: &str) -> Self {
        let ours = host.owned(manager, Part::Status);
        Self::read(host, Some(source), Some(at(at(&ours, "status"), "hardware")))
    }

    fn read(host: &StoredHost, but: Option<&str>, ours: Option<&Value>) -> Self {
        let hardware = at(&host.status, "hardware");
        let ours = |key: &str| ours.map(|ours| at(ours, key)).filter(|value| !value.is_null());
        let word = |key: &str| at(hardware, key).as_str().filter(|_| ours(key).is_none());
        let sources = at(&host.status, "sources").as_object().into_iter().flatten();
        let of_sources = sources
            .filter(|(name, _)| but != Some(name.as_str()))
            .filter_map(|(_, facts)| at(facts, "providerID").as_str());
        let own = ours("macs").and_then(Value::as_array);
        let macs = at(hardware, "macs").as_array().into_iter().flatten();
        Self::of(&Claims {
            provider_ids: of_sources.chain(at(&host.spec, "providerID").as_str()).collect(),
            uuid: word("uuid"),
            vendor: word("vendor"),
            serial: word("serial"),
            macs: macs
                .filter(|mac| !own.is_some_and(|own| own.contains(mac)))
                .filter_map(Value::as_str)
                .collect(),
        })
    }

    /// Whether nothing identifies the machine.
    pub fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// What to look the machine up by. Two hosts that are [`Relation::Same`] or
    /// [`Relation::Unsure`] have at least one of them in common.
    pub fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        let ids = self.provider_ids.iter().map(|(kind, id)| hash("both", &(kind, id)));
        ids.chain(self.uuid).chain(self.serial).chain(self.macs.iter().copied())
    }

    /// What this host and the other are to each other. The same from both sides.
    pub fn relation(&self, other: &Self) -> Relation {
        let (mut equal, mut different) = (false, false);
        for (kind, _) in &self.provider_ids {
            let mine = || self.provider_ids.iter().filter(|(k, _)| k == kind);
            if mine().any(|id| other.provider_ids.binary_search(id).is_ok()) {
                equal = true;
            } else if other.provider_ids.iter().any(|(k, _)| k == kind) {
                different = true;
            }
        }
        match (equal, different) {
            (true, false) => return Relation::Same(Rank::ProviderId),
            // one provider says that they are one machine, another that they are two
            (true, true) => return Relation::Unsure,
            (false, true) => return Relation::Different(Rank::ProviderId),
            (false, false) => {}
        }
        if let (Some(mine), Some(theirs)) = (self.uuid, other.uuid) {
            return decided(mine == theirs, Rank::Uuid);
        }
        let mut unsure = false;
        if let (Some(mine), Some(theirs)) = (self.serial, other.serial) {
            let vendor = self.vendor.is_some() && self.vendor == other.vendor;
            if mine != theirs || vendor {
                return decided(mine == theirs, Rank::Serial);
            }
            unsure = true;
        }
        if self.macs.iter().any(|mac| other.macs.binary_search(mac).is_ok()) {
            return Relation::Same(Rank::Mac);
        }
        if unsure { Relation::Unsure } else { Relation::Unrelated }
    }

    /// Whether any key of the two differs, whatever those before it say.
    pub fn differs(&self, other: &Self) -> bool {
        let differ = |a: Option<u64>, b: Option<u64>| a.is_some() && b.is_some() && a != b;
        differ(self.uuid, other.uuid)
            || differ(self.serial, other.serial)
            || matches!(self.relation(other), Relation::Different(_))
    }

    /// Bytes on the heap, about.
    pub fn heap(&self) -> usize {
        size_of_val(&*self.provider_ids) + size_of_val(&*self.macs)
    }
}

fn decided(same: bool, rank: Rank) -> Relation {
    if same { Relation::Same(rank) } else { Relation::Different(rank) }
}

/// Which of the known hosts a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match<T> {
    /// None of them.
    None,
    /// This one, clearly, by this key.
    One(T, Rank),
    /// It may be any of these: nobody but a person can say.
    Several(Vec<T>),
}

/// Which of `candidates` a machine is: the only one that has the strongest key in common with it. A
/// candidate that a key contradicts is none.
pub fn choose<T>(candidates: impl IntoIterator<Item = (T, Relation)>) -> Match<T> {
    let (mut best, mut unsure): (Vec<(Rank, T)>, Vec<T>) = (Vec::new(), Vec::new());
    for (candidate, relation) in candidates {
        match relation {
            Relation::Same(rank) => {
                if best.first().is_some_and(|(strongest, _)| rank < *strongest) {
                    best.clear();
                }
                if best.first().is_none_or(|(strongest, _)| rank == *strongest) {
                    best.push((rank, candidate));
                }
            }
            Relation::Unsure => unsure.push(candidate),
            Relation::Different(_) | Relation::Unrelated => {}
        }
    }
    let several = best.len() > 1;
    match best.pop() {
        Some((rank, only)) if !several => Match::One(only, rank),
        Some(last) => {
            best.push(last);
            Match::Several(best.into_iter().map(|(_, candidate)| candidate).collect())
        }
        None if unsure.is_empty() => Match::None,
        None => Match::Several(unsure),
    }
}

/// Hashes of this process alone: they are never written down.
fn hash(rank: &str, value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (rank, value).hash(&mut hasher);
    hasher.finish()
}

/// Schemes whose ids are the name of a node, which another cluster may have too.
const NAMES: [&str; 4] = ["k3s", "rke2", "kind", "docker"];

/// Kind and id in a providerID.
fn provider_id(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let Some((scheme, rest)) = text.split_once("://") else {
        return (!text.is_empty()).then(|| (String::new(), text.to_owned()));
    };
    let scheme = scheme.to_ascii_lowercase();
    let filled = |id: &str| !id.trim_matches('/').is_empty();
    if NAMES.contains(&&*scheme) || !filled(rest) {
        return None;
    }
    match &*scheme {
        "aws" => {
            // `aws:///eu-west-1a/i-0abc`, and `aws:////i-0abc` where nobody knew the zone
            let instance = rest.rsplit('/').next().filter(|id| filled(id))?;
            Some((scheme, instance.to_owned()))
        }
        // Azure does not tell upper from lower case, and returns both
        "azure" => Some((scheme, rest.to_ascii_lowercase())),
        _ => {
            let (authority, path) = rest.split_once('/').unwrap_or(("", rest));
            filled(path).then(|| (format!("{scheme}://{authority}"), path.to_owned()))
        }
    }
}

/// UUIDs that mainboards carry by the thousand.
const WORN_OUT: [&str; 5] = [
    "03000200040005000006000700080009",
    "00020003000400050006000700080009",
    "12345678123456781234567890abcdef",
    "123456781234567890abcddeefaabbcc",
    "0123456789abcdef0123456789abcdef",
];

/// A UUID as 32 digits, the smaller of its two byte orders: SMBIOS before 2.6 and Microsoft keep its
/// first three fields the other way round.
fn uuid(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let digits: String =
        text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) || is_even(&digits) {
        return None;
    }
    let byte = |at: usize| digits.get(2 * at..2 * at + 2).unwrap_or_default();
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let swapped: String = order.into_iter().map(byte).collect();
    if [&digits, &swapped].iter().any(|form| WORN_OUT.contains(&form.as_str())) {
        return None;
    }
    Some(digits.min(swapped))
}

/// What stands where a serial number would, without blanks and signs.
const NO_SERIAL: [&str; 27] = [
    "NONE",
    "NA",
    "NULL",
    "UNKNOWN",
    "EMPTY",
    "INVALID",
    "DEFAULT",
    "DEFAULTSTRING",
    "OEM",
    "TOBEFILLEDBYOEM",
    "TOBEFILLED",
    "FILLEDBYOEM",
    "NOTSPECIFIED",
    "NOTAPPLICABLE",
    "NOTAVAILABLE",
    "NOTPROVIDED",
    "SERIAL",
    "SERIALNUMBER",
    "SYSTEMSERIALNUMBER",
    "CHASSISSERIALNUMBER",
    "BASEBOARDSERIALNUMBER",
    "SYSTEMSERIAL",
    "NOSERIAL",
    "UNDEFINED",
    "UNSPECIFIED",
    "TBD",
    "TEST",
];

/// A serial number in upper case, without blanks and signs, unless it is none.
fn serial(text: &str) -> Option<String> {
    let serial: String =
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_uppercase).collect();
    // `1234567890` and its like
    let counted = "0123456789012345678901234567890123456789".contains(serial.as_str());
    (serial.len() >= 4 && !is_even(&serial) && !counted && !NO_SERIAL.contains(&&*serial))
        .then_some(serial)
}

/// Words behind the name of a maker that are no part of it.
const BEHIND: [&str; 12] = [
    "inc",
    "incorporated",
    "corp",
    "corporation",
    "co",
    "company",
    "ltd",
    "limited",
    "llc",
    "gmbh",
    "technologies",
    "computer",
];

/// The maker in lower case, without what stands behind its name.
fn vendor(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let mut words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    while words.len() > 1 && words.last().is_some_and(|word| BEHIND.contains(word)) {
        words.pop();
    }
    let vendor = words.concat();
    let none = NO_SERIAL.iter().any(|none| none.eq_ignore_ascii_case(&vendor))
        || matches!(&*vendor, "generic" | "systemmanufacturer" | "manufacturer");
    (!vendor.is_empty() && !none).then_some(vendor)
}

/// A MAC address as twelve digits with colons, if it belongs to one machine: not a group's, not
/// administered locally (as those of most virtual machines are), not of a virtual router (VRRP), not
/// the first of its maker, which adapters without a memory of their own come up with.
pub fn mac(text: &str) -> Option<String> {
    let text = text.trim();
    if !text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.')) {
        return None;
    }
    let digits: String =
        text.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    let first = digits.get(..2).and_then(|pair| u8::from_str_radix(pair, 16).ok())?;
    let shared = first & 0b11 != 0
        || is_even(&digits)
        || digits.starts_with("00005e0001")
        || digits.starts_with("00005e0002")
        || digits.ends_with("000000");
    if digits.len() != 12 || shared {
        return None;
    }
    let pairs: Vec<&str> = (0..6).filter_map(|at| digits.get(2 * at..2 * at + 2)).collect();
    Some(pairs.join(":"))
}

/// Whether a text is one character again and again.
fn is_even(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next();
    chars.all(|c| Some(c) == first)
}

#[cfg(test)]
mod tests;
