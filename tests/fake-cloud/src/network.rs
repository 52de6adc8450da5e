//! Ports and networks as firewalls name them.

use std::net::IpAddr;

/// `22` or `80-443`.
pub(crate) fn is_port_range(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-') {
        Some((low, high)) => matches!((port(low), port(high)), (Some(low), Some(high)) if low <= high),
        None => port(text).is_some(),
    }
}

/// CIDR notation whose host bits are zero.
pub(crate) fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(length) = length.parse::<u32>() else { return false };
    match address.parse() {
        Ok(IpAddr::V4(ip)) => length <= 32 && ip.to_bits().checked_shl(length).unwrap_or(0) == 0,
        Ok(IpAddr::V6(ip)) => length <= 128 && ip.to_bits().checked_shl(length).unwrap_or(0) == 0,
        Err(_) => false,
    }
}

/// An address, or a network whose host bits may be anything.
pub(crate) fn is_address_or_network(text: &str) -> bool {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, it)| (address, Some(it)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let max = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|it| it.parse::<u32>().is_ok_and(|it| it <= max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_ports_are_checked() {
        for network in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"] {
            assert!(is_network(network), "{network}");
        }
        for network in ["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "x/8", "2001:db8::1/64", "10.0.0.0/-1"] {
            assert!(!is_network(network), "{network}");
        }
        for port in ["22", "80-443", "1-65535"] {
            assert!(is_port_range(port), "{port}");
        }
        for port in ["0", "443-80", "65536", "", "a", "80-", "80,443"] {
            assert!(!is_port_range(port), "{port}");
        }
    }
}
