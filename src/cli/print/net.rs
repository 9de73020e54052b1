//! What may leave, how, and what does not: for `driver config` and `net`. Pure.

use crate::cli::escape::escape;
use crate::net::blocklist::{Blocklist, Standing, Tally};
use crate::net::egress::{self, Egress, Policy, Purpose, State};

use super::{counted, grouped};

/// The way out in lines: the rule, how it stands, how others come in, what is off and why, and the
/// blocklist.
pub fn net_lines(egress: &Egress, port: Option<u16>, outside: &[String]) -> Vec<String> {
    let off = |purpose| egress.off(purpose);
    let mut lines = lines(egress.policy(), &egress.standing(), (port, outside), off);
    lines.extend(blocklist_lines(egress.blocklist()));
    lines
}

/// `231,402 ranges, 12 dials and 3 connections refused`; none where there is no list.
pub fn blocklist_words(blocklist: &Blocklist) -> Option<String> {
    if let Some(Standing { list, .. }) = blocklist.awaited() {
        return Some(format!("nobody is connected to before {} is there", escape(&list)));
    }
    let lists = blocklist.standings();
    let ranges: u64 = lists.iter().map(|list| list.ranges as u64).sum();
    let Tally { dials, connections, .. } = blocklist.tally();
    let of = if lists.len() > 1 { format!(" of {} lists", lists.len()) } else { String::new() };
    let s = |count| if count == 1 { "" } else { "s" };
    let words = format!(
        "{} range{}{of}, {} dial{} and {} connection{} refused",
        grouped(ranges),
        s(ranges),
        grouped(dials),
        s(dials),
        grouped(connections),
        s(connections),
    );
    (!lists.is_empty()).then_some(words)
}

/// The same, and each list.
fn blocklist_lines(blocklist: &Blocklist) -> Vec<String> {
    let Some(words) = blocklist_words(blocklist) else { return Vec::new() };
    let datagrams = match blocklist.tally().datagrams {
        0 => String::new(),
        count => format!("; {} of the DHT", counted(count, "datagram")),
    };
    let mut lines = vec![format!("blocklist  {words}{datagrams}")];
    for Standing { list, ranges, bad, trouble } in blocklist.standings() {
        let bad = match bad {
            0 => String::new(),
            bad => format!(", {} cannot be read", counted(bad, "line")),
        };
        let ranges = counted(ranges as u64, "range");
        lines.push(format!("{:<9}  {}: {ranges}{bad}", "", escape(&list)));
        lines.extend(trouble.map(|why| format!("{:<9}  {}", "", escape(&why))));
    }
    lines
}

fn lines(
    policy: &Policy,
    standing: &egress::Standing,
    (port, outside): (Option<u16>, &[String]),
    off: impl Fn(Purpose) -> Option<&'static str>,
) -> Vec<String> {
    let Policy { device, proxy, only_peers, dns, .. } = policy;
    let line = |name: &str, words: String| format!("{name:<9}  {words}");
    let mut lines = vec![line("leaves by", leaves_by(policy))];
    if device.is_some() {
        let words = match (&standing.state, standing.place) {
            (State::Waiting(why), _) => format!("nothing leaves: {why}"),
            (State::Closed(why), _) => format!("nothing leaves: {why}"),
            (State::Open, place) => {
                let four = place.and_then(|place| place.four).map(|ip| ip.to_string());
                let six = place.and_then(|place| place.six).map(|ip| ip.to_string());
                let both: Vec<String> = four.into_iter().chain(six).collect();
                format!("open, from {}", both.join(" and "))
            }
        };
        lines.push(line("state", words));
    }
    if let Some(proxy) = proxy {
        let what = if *only_peers { "peers alone; all else goes directly" } else { "everything" };
        lines.push(line("proxy", format!("{proxy}, {what}")));
        lines.extend(standing.proxy_trouble.iter().map(|why| line("", why.clone())));
        lines.extend(standing.relay_trouble.iter().map(|why| line("", why.clone())));
    }
    let directly = match (dns, device) {
        (Some(server), _) => server.to_string(),
        (None, Some(device)) => format!("the system's name servers, by {device}"),
        (None, None) => "the system".to_owned(),
    };
    // The proxy cannot be asked where it is itself.
    let its_own = match proxy {
        Some(proxy) if proxy.has_name() => format!("; {directly}, for the proxy's own"),
        _ => String::new(),
    };
    let names = match (dns, proxy) {
        (Some(server), Some(_)) if !only_peers => {
            format!("the proxy; {server} through it, where an address is needed{its_own}")
        }
        (None, Some(_)) if !only_peers => {
            let nobody = "nobody where an address is needed (--dns ADDR names a server)";
            format!("the proxy; {nobody}{its_own}")
        }
        _ => directly,
    };
    lines.push(line("names", names));
    if let Some(port) = port {
        let words = match port {
            0 => "nobody can connect to us".to_owned(),
            port => format!("port {port}"),
        };
        lines.push(line("listens", words));
    }
    let names = std::iter::once("outside").chain(std::iter::repeat(""));
    lines.extend(names.zip(outside).map(|(name, words)| line(name, words.clone())));
    for purpose in Purpose::ALL {
        if let Some(why) = off(purpose) {
            lines.push(line("off", format!("{purpose}: {why}")));
        }
    }
    lines
}

fn leaves_by(Policy { device, bind, .. }: &Policy) -> String {
    match (device, bind) {
        (Some(device), Some(bind)) => format!("{device} alone, from {bind}"),
        (Some(device), None) => format!("{device} alone"),
        (None, Some(bind)) => format!("any device, from {bind}"),
        (None, None) => "any device".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::blocklist::parse::List;
    use crate::net::blocklist::{self, Lists, Refused, Source};

    #[test]
    fn lists_and_what_they_refused_are_told() {
        let egress = Egress::default();
        let list = egress.blocklist();
        assert_eq!(blocklist_words(list), None);
        let read = |text: &str| List::read(text.as_bytes(), false).unwrap();
        let many: Vec<String> =
            (0..1200).map(|it| format!("1.{}.{}.2", it / 99, it % 99)).collect();
        list.set([("/a\x1b".to_owned(), read(&many.join("\n")))]);
        let ip = "1.0.0.2".parse().unwrap();
        let refused = [Refused::Dial, Refused::Dial, Refused::Connection, Refused::Datagram];
        refused.into_iter().for_each(|what| assert!(list.refuses(ip, what)));
        let words = "1,200 ranges, 2 dials and 1 connection refused";
        assert_eq!(blocklist_words(list).as_deref(), Some(words));
        list.set([("a".to_owned(), read("1.0.0.1\nx")), ("b".to_owned(), read("1.0.0.1"))]);
        assert_eq!(
            net_lines(&egress, None, &[])[2..],
            [
                "blocklist  2 ranges of 2 lists, 2 dials and 1 connection refused; 1 datagram of \
                 the DHT",
                "           a: 1 range, 1 line cannot be read",
                "           b: 1 range",
            ]
        );
    }

    #[tokio::test]
    async fn a_list_that_cannot_come_yet_is_told_as_what_it_does() {
        let device = Some("tun77".to_owned());
        let egress = Egress::new(Policy { device, ..Policy::default() });
        let sources = vec![Source::parse("http://lists.example/a").unwrap()];
        let lists = Lists { sources, ..Lists::default() };
        let _keeper = blocklist::start(lists, &egress, None).await.unwrap();
        let words = "nobody is connected to before http://lists.example/a is there";
        assert_eq!(blocklist_words(egress.blocklist()).as_deref(), Some(words));
        let lines = net_lines(&egress, None, &[]);
        let why = "blocklist http://lists.example/a: nothing leaves: waits for tun77: there is no \
                   such device; nobody is connected to before it is there";
        assert!(lines.iter().any(|line| line.trim() == why), "{lines:?}");
    }

    #[test]
    fn the_rule_its_state_and_what_is_off_are_told() {
        assert_eq!(
            net_lines(
                &Egress::default(),
                Some(6881),
                &["IPv4: a".to_owned(), "IPv6: b".to_owned()]
            ),
            [
                "leaves by  any device",
                "names      the system",
                "listens    port 6881",
                "outside    IPv4: a",
                "           IPv6: b"
            ]
        );
        let device = Some("tun77".to_owned());
        let waits = Egress::new(Policy { device, ..Policy::default() });
        assert_eq!(
            net_lines(&waits, None, &[]),
            [
                "leaves by  tun77 alone",
                "state      nothing leaves: waits for tun77: there is no such device",
                "names      the system's name servers, by tun77",
            ]
        );
        let proxy = "http://me:secret@192.0.2.1:3128".parse().ok();
        let proxied = Egress::new(Policy { proxy, ..Policy::default() });
        let told = net_lines(&proxied, Some(0), &[]).join("\n");
        assert!(told.contains("proxy      http://192.0.2.1:3128, everything"), "{told}");
        assert!(told.contains("off        DHT: datagrams (UDP) do not go through an HTTP proxy"));
        assert!(told.contains("listens    nobody can connect to us") && !told.contains("secret"));
        let named = |proxy: &str| {
            let (proxy, dns) = (proxy.parse().ok(), "192.0.2.53:53".parse().ok());
            net_lines(&Egress::new(Policy { proxy, dns, ..Policy::default() }), None, &[])
                .join("\n")
        };
        let through = "the proxy; 192.0.2.53:53 through it, where an address is needed";
        assert!(named("socks5://192.0.2.1:1080").contains(&format!("{through}\n")));
        let told = named("socks5://proxy.example:1080");
        let beside = "; 192.0.2.53:53, for the proxy's own";
        assert!(told.contains(&format!("{through}{beside}\n")), "{told}");
    }
}
