//! Which addresses a webhook may have: none inside our own network, unless a setting allows it.
//!
//! Whoever may add a webhook could otherwise make the engine call the metadata service of its cloud, or a
//! database beside it. What counts is the address that is connected to, not the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use url::{Host, Url};

/// What is allowed although it is inside: names of hosts, addresses, ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Name(String),
    Range(IpAddr, u8),
}

/// Why a webhook may not have this address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no address for a webhook.
    #[error(
        "this is no address for a webhook: give https://host/path, without a user name or password"
    )]
    Form,
    /// It is not encrypted.
    #[error("http is not encrypted: use https, or list the host in RECOMAMP_WEBHOOK_ALLOW")]
    Plain,
    /// It lies where nobody outside may send us.
    #[error("{0} is not a public address: list the host in RECOMAMP_WEBHOOK_ALLOW if it is meant")]
    Inside(IpAddr),
}

impl FromStr for Allowed {
    type Err = String;

    /// Names, addresses and ranges such as `10.1.0.0/16`, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(entry).collect::<Result<_, _>>().map(Self)
    }
}

fn entry(text: &str) -> Result<Entry, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Entry::Range(address, if address.is_ipv4() { 32 } else { 128 }));
    }
    if let Some((address, length)) = text.split_once('/') {
        let wrong = || format!("{text:?} is no range: write one as in 10.1.0.0/16");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let length = length.parse().ok().filter(|length| *length <= longest).ok_or_else(wrong)?;
        return Ok(Entry::Range(address, length));
    }
    match Host::parse(text) {
        Ok(Host::Domain(name)) => Ok(Entry::Name(name)),
        _ => Err(format!("{text:?} is no name of a host, no address and no range")),
    }
}

impl Allowed {
    /// Whether the form of this address will do. Where its host lies is looked at when it is called.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host().ok_or(Refused::Form)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Form);
        }
        let listed = match &host {
            Host::Domain(name) => self.names(name),
            Host::Ipv4(address) => self.holds((*address).into()),
            Host::Ipv6(address) => self.holds((*address).into()),
        };
        match url.scheme() {
            "https" => {}
            "http" if listed => {}
            "http" => return Err(Refused::Plain),
            _ => return Err(Refused::Form),
        }
        match host {
            Host::Domain(_) => Ok(()),
            Host::Ipv4(address) => self.check_address("", address.into()),
            Host::Ipv6(address) => self.check_address("", address.into()),
        }
    }

    /// Whether a host of this name may be called at this address, which its name was resolved to.
    pub fn check_address(&self, name: &str, address: IpAddr) -> Result<(), Refused> {
        if is_public(address) || self.names(name) || self.holds(address) {
            Ok(())
        } else {
            Err(Refused::Inside(address))
        }
    }

    fn names(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        self.0
            .iter()
            .any(|entry| matches!(entry, Entry::Name(one) if one.eq_ignore_ascii_case(name)))
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|entry| match entry {
            Entry::Range(start, length) => contains(*start, *length, address),
            Entry::Name(_) => false,
        })
    }
}

/// Ranges of the IANA registry of special-purpose IPv4 addresses (RFC 6890), multicast, and what is
/// reserved; the last two begin at 224.
const SPECIAL_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The only IPv6 addresses that are handed out to the public internet…
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// …and what of them is for protocols, documentation, or carries an IPv4 address (RFC 6890, 9637).
const SPECIAL_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => {
            !SPECIAL_V4.iter().any(|(start, length)| contains((*start).into(), *length, address))
        }
        IpAddr::V6(_) => {
            contains(GLOBAL_V6.0.into(), GLOBAL_V6.1, address)
                && !SPECIAL_V6
                    .iter()
                    .any(|(start, length)| contains((*start).into(), *length, address))
        }
    }
}

fn contains(start: IpAddr, length: u8, address: IpAddr) -> bool {
    let (start, address, bits): (u128, u128, u8) = match (start, address) {
        (IpAddr::V4(start), IpAddr::V4(address)) => {
            (u32::from(start).into(), u32::from(address).into(), 32)
        }
        (IpAddr::V6(start), IpAddr::V6(address)) => (start.into(), address.into(), 128),
        _ => return false,
    };
    let rest = u32::from(bits - length);
    start.checked_shr(rest).unwrap_or(0) == address.checked_shr(rest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn nothing_inside_can_be_reached_however_it_is_written() {
        let nobody = Allowed::default();
        for inside in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
        ] {
            let address: IpAddr = inside.parse().expect("an address");
            assert_eq!(nobody.check_address("", address), Err(Refused::Inside(address)));
        }
        for form in ["https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://[::1]/"] {
            assert!(matches!(nobody.check_url(&url(form)), Err(Refused::Inside(_))), "{form}");
        }
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00:1450::1"] {
            assert_eq!(nobody.check_address("", public.parse().expect("an address")), Ok(()));
        }
    }

    #[test]
    fn only_what_is_listed_may_be_inside_or_not_encrypted() {
        let allowed: Allowed = "hooks.internal, 10.1.0.0/16,127.0.0.1".parse().expect("a list");
        let inside: IpAddr = "192.168.0.9".parse().expect("an address");
        assert_eq!(allowed.check_address("Hooks.Internal", inside), Ok(()));
        assert_eq!(allowed.check_address("other.internal", inside), Err(Refused::Inside(inside)));
        for good in ["http://hooks.internal/x", "http://10.1.255.1/", "https://slack.example/x"] {
            assert_eq!(allowed.check_url(&url(good)), Ok(()), "{good}");
        }
        assert_eq!(allowed.check_url(&url("http://slack.example/x")), Err(Refused::Plain));
        assert!(matches!(allowed.check_url(&url("http://10.2.0.1/")), Err(Refused::Plain)));
        for bad in ["ftp://hooks.internal/", "https://ada:secret@slack.example/"] {
            assert_eq!(allowed.check_url(&url(bad)), Err(Refused::Form), "{bad}");
        }
        for bad in ["10.1.0.0/33", "a b", "10.1/16"] {
            assert!(bad.parse::<Allowed>().is_err(), "{bad}");
        }
    }
}
