//! Addresses, and rules about them (S2, L9): `10.0.0.7`, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`, and the same in IPv6.
//!
//! An IPv4 address in IPv6 form (`::ffff:10.0.0.7`) is the IPv4 address, in rules and in requests: a proxy that listens
//! on both families sees the one form or the other by chance. An address with a zone (`fe80::1%eth0`) means something
//! on one machine only, and is refused.

use alloc::string::{String, ToString as _};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which addresses a rule means: all from the first to the last, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRule {
    first: IpAddr,
    last: IpAddr,
}

impl IpRule {
    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    fn between(first: IpAddr, last: IpAddr) -> Result<Self, IpRuleError> {
        let (first, last) = (first.to_canonical(), last.to_canonical());
        if first.is_ipv4() != last.is_ipv4() {
            return Err(IpRuleError::TwoFamilies);
        }
        if first > last { Err(IpRuleError::Backwards) } else { Ok(Self { first, last }) }
    }

    /// The network that this is, if it is one.
    fn network(&self) -> Option<IpNet> {
        let bits = if self.first.is_ipv4() { 32 } else { 128 };
        (0..=bits)
            .filter_map(|prefix| IpNet::new(self.first, prefix).ok())
            .find(|network| network.network() == self.first && network.broadcast() == self.last)
    }
}

/// Why a text is no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpRuleError {
    /// No address, network or range.
    Unreadable,
    /// It names a network interface.
    Zone,
    /// `10.0.0.7/8`: one address or the whole network?
    BitsBeyondPrefix,
    /// From IPv4 to IPv6.
    TwoFamilies,
    /// The end is before the beginning.
    Backwards,
}

impl fmt::Display for IpRuleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unreadable => "must be an address (10.0.0.7), a network (10.0.0.0/8) or a range (10.0.0.1-10.0.0.9)",
            Self::Zone => "must not name a zone (%): it means something on one machine only",
            Self::BitsBeyondPrefix => {
                "has bits beyond its prefix: write the network's first address, or the address without a prefix"
            }
            Self::TwoFamilies => "must begin and end in the same family, IPv4 or IPv6",
            Self::Backwards => "must not end before it begins",
        })
    }
}

impl core::error::Error for IpRuleError {}

impl FromStr for IpRule {
    type Err = IpRuleError;

    fn from_str(text: &str) -> Result<Self, IpRuleError> {
        if text.contains('%') {
            return Err(IpRuleError::Zone);
        }
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| IpRuleError::Unreadable);
        if let Some((first, last)) = text.split_once('-') {
            return Self::between(address(first)?, address(last)?);
        }
        if !text.contains('/') {
            let address = address(text)?;
            return Self::between(address, address);
        }
        let network: IpNet = text.trim().parse().map_err(|_| IpRuleError::Unreadable)?;
        if network.addr() != network.network() {
            return Err(IpRuleError::BitsBeyondPrefix);
        }
        Self::between(network.network(), network.broadcast())
    }
}

impl fmt::Display for IpRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network() {
            Some(_) if self.first == self.last => write!(formatter, "{}", self.first),
            Some(network) => write!(formatter, "{network}"),
            None => write!(formatter, "{}-{}", self.first, self.last),
        }
    }
}

impl Serialize for IpRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.first, self.last).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for IpRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rule = if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse()
        } else {
            let (first, last) = Deserialize::deserialize(deserializer)?;
            Self::between(first, last)
        };
        rule.map_err(|error| serde::de::Error::custom(error.to_string()))
    }
}

/// The address in what a proxy says of the other end of a connection: with a port (Envoy) or without (NGINX). `None`
/// for anything else, a socket's path or a zone among them: such a client is at no address that a rule could allow.
pub fn source_address(text: &[u8]) -> Option<IpAddr> {
    let text = core::str::from_utf8(text).ok().filter(|text| !text.contains('%'))?;
    let address = match text.parse::<SocketAddr>() {
        Ok(socket) => socket.ip(),
        Err(_) => text.parse().ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(text: &str) -> IpRule {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn s2_what_a_rule_holds() {
        for (text, inside, outside) in [
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.1-10.0.0.9", "10.0.0.9", "10.0.0.10"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1-2001:db8::f", "2001:db8::a", "2001:db8::10"),
            ("::ffff:10.0.0.7", "10.0.0.7", "::10.0.0.7"),
            ("::ffff:10.0.0.0/104", "10.1.2.3", "11.0.0.0"),
            ("10.0.0.7", "::ffff:10.0.0.7", "::a00:7"),
        ] {
            assert!(rule(text).contains(address(inside)), "{text} holds {inside}");
            assert!(!rule(text).contains(address(outside)), "{text} does not hold {outside}");
        }
    }

    #[test]
    fn s2_what_is_no_rule_says_why() {
        for (text, error) in [
            ("", IpRuleError::Unreadable),
            ("10.0.0", IpRuleError::Unreadable),
            ("010.0.0.1", IpRuleError::Unreadable),
            ("10.0.0.0/33", IpRuleError::Unreadable),
            ("example.org", IpRuleError::Unreadable),
            ("10.0.0.7:80", IpRuleError::Unreadable),
            ("*", IpRuleError::Unreadable),
            ("fe80::1%eth0", IpRuleError::Zone),
            ("fe80::%1/64", IpRuleError::Zone),
            ("10.0.0.7/8", IpRuleError::BitsBeyondPrefix),
            ("10.0.0.1-::1", IpRuleError::TwoFamilies),
            ("10.0.0.9-10.0.0.1", IpRuleError::Backwards),
        ] {
            assert_eq!(text.parse::<IpRule>(), Err(error), "{text}");
        }
    }

    #[test]
    fn s2_a_source_address_with_and_without_a_port() {
        for (text, address) in [
            ("192.0.2.7:4711", Some("192.0.2.7")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[::ffff:192.0.2.7]:80", Some("192.0.2.7")),
            ("[fe80::1%1]:80", None),
            ("fe80::1%eth0", None),
            ("/var/run/client.sock", None),
            ("", None),
        ] {
            assert_eq!(source_address(text.as_bytes()), address.map(self::address), "{text}");
        }
        assert_eq!(source_address(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn a_rule_as_shown_is_the_same_rule(first: IpAddr, last: IpAddr, prefix in 0u8..=128) {
            let rules = [IpRule::between(first, first), IpRule::between(first.min(last), first.max(last))];
            let network = IpNet::new(first, prefix).map(|net| net.trunc().to_string().parse::<IpRule>());
            for rule in rules.into_iter().chain(network).flatten() {
                let shown = rule.to_string();
                prop_assert_eq!(shown.parse::<IpRule>(), Ok(rule), "{}", shown);
                let wire = postcard::to_allocvec(&rule).unwrap();
                prop_assert_eq!(postcard::from_bytes::<IpRule>(&wire), Ok(rule));
            }
        }

        #[test]
        fn no_text_panics(text: alloc::string::String, bytes: alloc::vec::Vec<u8>) {
            let _ = text.parse::<IpRule>();
            let _ = source_address(&bytes);
        }
    }
}
