//! How others reach us from outside, as a router opens our ports or does not: for `net`, `status`,
//! `why`, `driver config` and `--json`. Pure.

use serde_json::{Value, json};

use crate::base::units::duration;
use crate::net::portmap::{Behind, Mapping, Standing, State, Way};

/// Both families, by their names.
fn families(standing: &Standing) -> [(&'static str, &State); 2] {
    [("IPv4", &standing.four), ("IPv6", &standing.six)]
}

/// A line for each family, and one for what makes a mapping useless.
pub fn outside_lines(standing: &Standing) -> Vec<String> {
    let mut lines = Vec::new();
    for (family, state) in families(standing) {
        lines.push(format!(
            "{family}: {}",
            match state {
                State::Off(why) => why.clone(),
                State::Asking => "the router is being asked".to_owned(),
                State::Failed(why) => format!("no router opens a port ({why})"),
                State::Mapped(mapping) => mapping_words(mapping),
            }
        ));
        lines.extend(state.mapping().and_then(useless));
    }
    lines
}

/// Who would be asked for ports, as long as nothing runs.
pub fn router_lines(ways: &[Result<Way, String>; 2]) -> Vec<String> {
    let words = |(family, way): (&str, &Result<Way, String>)| match way {
        Ok(Way { own, gateway, .. }) => format!("{family}: {gateway} opens ports to {own}"),
        Err(why) => format!("{family}: {why}"),
    };
    ["IPv4", "IPv6"].into_iter().zip(ways).map(words).collect()
}

/// The ports outside in a few words; none as long as there is none.
pub fn outside_row(standing: &Standing) -> Option<String> {
    let words = |(family, state): (&str, &State)| {
        let mapping = state.mapping()?;
        let behind = match mapping.behind() {
            Some(Behind::Carrier) => ", behind CGNAT",
            Some(Behind::Router) => ", behind another router",
            None => "",
        };
        Some(format!("{family} port {} ({}{behind})", mapping.tcp, mapping.protocol))
    };
    let both: Vec<String> = families(standing).into_iter().filter_map(words).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

/// Why nobody outside can connect to us, and what to do; none when somebody can, or nobody knows.
pub fn outside_trouble(standing: &Standing, port: u16) -> Option<String> {
    let is_open = |state: &State| state.mapping().is_some_and(|it| it.behind().is_none());
    let states = families(standing).map(|(_, state)| state);
    if states.iter().any(|state| is_open(state) || **state == State::Asking) {
        return None;
    }
    if let Some(useless) = states.iter().find_map(|state| state.mapping().and_then(useless)) {
        return Some(useless);
    }
    states.iter().find_map(|state| match state {
        State::Failed(why) => Some(format!(
            "no router opens our port ({why}): fewer peers reach us. Allow PCP, NAT-PMP or UPnP \
             in the router, or forward port {port} (TCP and UDP) there"
        )),
        _ => None,
    })
}

/// What happens to one family, as JSON lines carry it; none while it is unknown.
pub fn outside_event(family: &str, state: &State) -> Option<Value> {
    let failed = |why: &str| json!({ "event": "port_mapping", "family": family, "message": why });
    match state {
        State::Asking => None,
        State::Off(why) | State::Failed(why) => Some(failed(why)),
        State::Mapped(mapping) => Some(json!({
            "event": "port_mapping",
            "family": family,
            "protocol": mapping.protocol.to_string(),
            "router": mapping.gateway.to_string(),
            "address": mapping.address.to_string(),
            "tcp": mapping.tcp,
            "udp": mapping.udp,
            "lifetime": mapping.lifetime.map(|it| it.as_secs()),
            "behind": mapping.behind().map(|it| match it {
                Behind::Carrier => "cgnat",
                Behind::Router => "double_nat",
            }),
        })),
    }
}

fn mapping_words(mapping: &Mapping) -> String {
    let Mapping { protocol, gateway, address, tcp, udp, lifetime } = mapping;
    let ports = match udp {
        Some(udp) if udp == tcp => format!("port {tcp} (TCP and UDP)"),
        Some(udp) => format!("ports {tcp} (TCP) and {udp} (UDP)"),
        None => format!("port {tcp} (TCP alone)"),
    };
    let lifetime = match lifetime {
        Some(lifetime) => format!("for {} at a time", duration(*lifetime)),
        None => "for good".to_owned(),
    };
    format!("{ports} of {address}, opened by {gateway} ({protocol}) {lifetime}")
}

/// Why a mapping is of no use, and what to do.
fn useless(mapping: &Mapping) -> Option<String> {
    let Mapping { address, gateway, tcp, .. } = mapping;
    Some(match mapping.behind()? {
        Behind::Carrier => format!(
            "nobody outside reaches {address}: your provider shares its addresses among customers \
             (CGNAT); ask it for an address of your own, or use IPv6"
        ),
        Behind::Router => format!(
            "nobody outside reaches {address}: the router {gateway} is itself behind another one \
             (double NAT); forward port {tcp} there to {address}, or let one of them be a bridge"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::portmap::Protocol;
    use std::time::Duration;

    fn mapped(address: &str) -> State {
        State::Mapped(Mapping {
            protocol: Protocol::NatPmp,
            gateway: "192.168.1.1".parse().unwrap(),
            address: address.parse().unwrap(),
            tcp: 40_000,
            udp: Some(40_000),
            lifetime: Some(Duration::from_secs(60)),
        })
    }

    fn off() -> State {
        State::Off("there is no IPv6 network".to_owned())
    }

    #[test]
    fn what_a_router_opened_is_told_and_that_it_is_of_no_use() {
        let open = Standing { four: mapped("93.184.216.34"), six: off() };
        assert_eq!(
            outside_lines(&open),
            [
                "IPv4: port 40000 (TCP and UDP) of 93.184.216.34, opened by 192.168.1.1 (NAT-PMP) \
                 for 1m 0s at a time",
                "IPv6: there is no IPv6 network",
            ]
        );
        assert_eq!(outside_row(&open).as_deref(), Some("IPv4 port 40000 (NAT-PMP)"));
        assert_eq!(outside_trouble(&open, 6881), None);

        let shared = Standing { four: mapped("100.64.1.2"), six: off() };
        assert!(outside_trouble(&shared, 6881).unwrap().contains("(CGNAT)"));
        assert!(outside_lines(&shared)[1].contains("nobody outside reaches 100.64.1.2"));
        assert_eq!(
            outside_row(&shared).as_deref(),
            Some("IPv4 port 40000 (NAT-PMP, behind CGNAT)")
        );
        let twice = Standing { four: mapped("192.168.0.9"), six: off() };
        let told = outside_trouble(&twice, 6881).unwrap();
        assert!(told.contains("(double NAT); forward port 40000 there to 192.168.0.9"), "{told}");
        // Over one family somebody comes.
        let six = Standing { six: mapped("2001:db8::7"), ..shared };
        assert_eq!(outside_trouble(&six, 6881), None);
    }

    #[test]
    fn that_no_router_opens_a_port_is_told_with_what_to_do() {
        let four = State::Failed("PCP: no answer; UPnP: no router answers".to_owned());
        let shut = Standing { four, six: off() };
        let told = outside_trouble(&shut, 6881).unwrap();
        assert!(told.contains("UPnP: no router answers"), "{told}");
        assert!(told.contains("forward port 6881 (TCP and UDP) there"), "{told}");
        assert_eq!(outside_row(&shut), None);
        assert_eq!(outside_trouble(&Standing { six: State::Asking, ..shut }, 6881), None);
        assert_eq!(outside_trouble(&Standing { four: off(), six: off() }, 6881), None);
    }

    #[test]
    fn lines_of_json_have_the_facts() {
        let event = outside_event("IPv4", &mapped("100.64.1.2")).unwrap();
        assert_eq!(
            event,
            json!({
                "event": "port_mapping", "family": "IPv4", "protocol": "NAT-PMP",
                "router": "192.168.1.1", "address": "100.64.1.2", "tcp": 40000, "udp": 40000,
                "lifetime": 60, "behind": "cgnat",
            })
        );
        let event = outside_event("IPv6", &off()).unwrap();
        assert_eq!(event["message"], "there is no IPv6 network");
        assert_eq!(outside_event("IPv4", &State::Asking), None);
    }
}
