//! Routers' faults, one by one.

use rand::SeedableRng as _;

use super::*;

const OWN: &str = "192.168.1.7";

fn own() -> IpAddr {
    OWN.parse().unwrap()
}

fn service(name: &str) -> Service {
    let name = format!("urn:schemas-upnp-org:service:{name}");
    Service { kind: Kind::Connection, path: format!("/{name}"), name, port: 80 }
}

/// Talks to a router that answers so; what came of it, and all that it was told.
fn talked(
    talk: &mut Talk,
    round: Round,
    mut router: impl FnMut(&Service, Action) -> Result<Reply, Fault>,
) -> (Outcome, Vec<Action>) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut told = Vec::new();
    talk.begin(round);
    loop {
        if let Some(outcome) = talk.poll_outcome() {
            assert!(talk.poll_call().is_none());
            return (outcome, told);
        }
        let (service, action) = talk.poll_call().expect("something is asked");
        told.push(action);
        assert!(told.len() < 50, "without end: {told:?}");
        let answer = router(&service, action);
        talk.on_answer(answer, &mut rng);
    }
}

fn talk() -> Talk {
    let way =
        Way { own: own(), gateway: "192.168.1.1".parse().unwrap(), device: 2, is_guess: false };
    Talk::new(way, [6881, 6881], vec![service("WANIPConnection:1")]).unwrap()
}

/// One that does all it is told, and keeps it so long.
fn honest(lease_s: u32) -> impl FnMut(&Service, Action) -> Result<Reply, Fault> {
    move |_, action| {
        Ok(match action {
            Action::Address => Reply::Address("93.184.216.34".parse().ok()),
            Action::Look { .. } => Reply::Entry { client: Some(own()), internal: 6881, lease_s },
            _ => Reply::Done,
        })
    }
}

fn adds(told: &[Action]) -> Vec<(Transport, u16, u32)> {
    let add = |action: &Action| match *action {
        Action::Add { transport, external, lease_s, .. } => Some((transport, external, lease_s)),
        _ => None,
    };
    told.iter().filter_map(add).collect()
}

fn granted(outcome: Outcome) -> Granted {
    match outcome {
        Outcome::Granted(granted) => granted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn both_ports_are_mapped_to_the_same_number() {
    let (outcome, told) = talked(&mut talk(), Round::Map, honest(3600));
    let Granted { address, tcp, udp, lifetime } = granted(outcome);
    assert_eq!((address.to_string().as_str(), tcp, udp), ("93.184.216.34", 6881, Some(6881)));
    assert_eq!(lifetime, Some(Duration::from_secs(3600)));
    assert_eq!(adds(&told), [(Transport::Tcp, 6881, 3600), (Transport::Udp, 6881, 3600)]);
}

/// "725 → lease 0", and "402" of those that mean the same.
#[test]
fn who_keeps_mappings_only_for_ever_is_asked_for_that() {
    for code in [725, 402] {
        let mut talk = talk();
        let mut honest = honest(0);
        let router = |service: &Service, action| match action {
            Action::Add { lease_s: 1.., .. } => Err(Fault::Code(code)),
            action => honest(service, action),
        };
        let (outcome, told) = talked(&mut talk, Round::Map, router);
        assert_eq!(granted(outcome).lifetime, None, "{code}");
        let leases: Vec<_> = adds(&told).into_iter().map(|(.., lease_s)| lease_s).collect();
        assert_eq!(leases, [3600, 0, 0], "it is known for the second one");
        let (outcome, told) = talked(&mut talk, Round::Unmap, self::honest(0));
        assert_eq!((outcome, told.len()), (Outcome::Ended, 2));
    }
}

/// "718/501 → another port, 4 times"
#[test]
fn ports_that_others_have_are_left_to_them() {
    for code in [718, 501, -911] {
        let mut honest = honest(3600);
        let router = |service: &Service, action| match action {
            Action::Add { external: 6881, .. } => Err(Fault::Code(code)),
            Action::Look { external: 6881, .. } => {
                let client = "192.168.1.9".parse().ok();
                Ok(Reply::Entry { client, internal: 6881, lease_s: 99 })
            }
            action => honest(service, action),
        };
        let (outcome, told) = talked(&mut talk(), Round::Map, router);
        let Granted { tcp, udp, .. } = granted(outcome);
        assert!(OTHER_PORTS.contains(&tcp) && udp == Some(tcp), "{code}: {tcp} {udp:?}");
        assert!(!told.iter().any(|it| matches!(it, Action::Delete { .. })), "{code}");

        let router = |service: &Service, action| match action {
            Action::Add { .. } => Err(Fault::Code(code)),
            Action::Look { .. } => Err(Fault::Code(714)),
            action => self::honest(3600)(service, action),
        };
        let (outcome, told) = talked(&mut talk(), Round::Map, router);
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        assert_eq!(adds(&told).len(), 4, "{code}");
    }
}

/// "with the same internal address it is our old one: delete and retry"
#[test]
fn an_old_mapping_of_ours_is_replaced() {
    let mut is_there = true;
    let mut honest = honest(3600);
    let router = |service: &Service, action| match action {
        Action::Add { transport: Transport::Tcp, .. } if is_there => Err(Fault::Code(718)),
        Action::Delete { transport: Transport::Tcp, .. } => {
            is_there = false;
            Ok(Reply::Done)
        }
        action => honest(service, action),
    };
    let (outcome, told) = talked(&mut talk(), Round::Map, router);
    assert_eq!(granted(outcome).tcp, 6881);
    let names: Vec<_> = told.iter().map(Action::name).collect();
    assert_eq!(
        names[1..6],
        [
            "AddPortMapping",
            "GetSpecificPortMappingEntry",
            "DeletePortMapping",
            "AddPortMapping",
            "GetSpecificPortMappingEntry",
        ]
    );
    // One that is not let go of is somebody else's.
    let mut honest = self::honest(3600);
    let router = |service: &Service, action| match action {
        Action::Add { external: 6881, .. } => Err(Fault::Code(718)),
        action => honest(service, action),
    };
    let (outcome, _) = talked(&mut talk(), Round::Map, router);
    assert!(OTHER_PORTS.contains(&granted(outcome).tcp));
}

/// "renewal that does not extend the lease (miniupnp#131)"
#[test]
fn a_lease_that_is_not_extended_is_made_anew() {
    let mut talk = talk();
    talked(&mut talk, Round::Map, honest(3600));
    let mut left = [1800, 1800];
    let mut honest = honest(3600);
    let (outcome, told) = talked(&mut talk, Round::Map, |service, action| match action {
        Action::Delete { transport, .. } => {
            left[transport.index()] = 3600;
            Ok(Reply::Done)
        }
        Action::Look { transport, .. } => {
            let lease_s = left[transport.index()];
            Ok(Reply::Entry { client: Some(own()), internal: 6881, lease_s })
        }
        action => honest(service, action),
    });
    assert_eq!(granted(outcome).lifetime, Some(Duration::from_secs(3600)));
    assert_eq!(adds(&told).len(), 4);
    // One that never keeps anything longer is believed that.
    let (outcome, told) = talked(&mut self::talk(), Round::Map, self::honest(60));
    assert_eq!(granted(outcome).lifetime, Some(Duration::from_secs(60)));
    assert_eq!(adds(&told).len(), 4);
    let (outcome, _) = talked(&mut self::talk(), Round::Map, self::honest(u32::MAX));
    assert_eq!(granted(outcome).lifetime, Some(Duration::from_secs(3600)));
}

#[test]
fn who_says_yes_and_keeps_nothing_is_not_believed() {
    let router = |service: &Service, action| match action {
        Action::Look { .. } => Err(Fault::Code(714)),
        action => honest(3600)(service, action),
    };
    let (outcome, _) = talked(&mut talk(), Round::Map, router);
    let told = "it did not keep the mapping (error 714)";
    assert_eq!(outcome, Outcome::Failed(told.to_owned()));
    // Who cannot be asked is.
    for fault in [Fault::Code(401), Fault::Broken("hm".to_owned())] {
        let router = |service: &Service, action| match action {
            Action::Look { .. } => Err(fault.clone()),
            action => honest(3600)(service, action),
        };
        let (outcome, _) = talked(&mut talk(), Round::Map, router);
        assert_eq!(granted(outcome).lifetime, Some(Duration::from_secs(3600)));
    }
}

#[test]
fn the_service_that_is_connected_is_used() {
    let services = vec![service("WANIPConnection:1"), service("WANPPPConnection:1")];
    let mut talk = Talk::new(talk().way, [6881, 6881], services).unwrap();
    let mut honest = honest(3600);
    let (outcome, told) = talked(&mut talk, Round::Map, |service, action| {
        if service.name.contains("WANIP") {
            assert_eq!(action, Action::Address);
            return Ok(Reply::Address(None));
        }
        assert!(service.path.contains("PPP"), "name and place belong together");
        honest(service, action)
    });
    granted(outcome);
    assert_eq!(told.len(), 6);
    let (outcome, _) = talked(&mut talk, Round::Map, |_, _| Ok(Reply::Address(None)));
    assert_eq!(outcome, Outcome::Failed("it is not connected itself".to_owned()));
}

#[test]
fn one_port_is_better_than_none_and_what_is_forbidden_is_told() {
    let router = |service: &Service, action| match action {
        Action::Add { transport: Transport::Udp, .. } => Err(Fault::Code(606)),
        action => honest(3600)(service, action),
    };
    let (outcome, _) = talked(&mut talk(), Round::Map, router);
    assert_eq!((granted(outcome.clone()).tcp, granted(outcome).udp), (6881, None));
    let router = |service: &Service, action| match action {
        Action::Add { .. } => Err(Fault::Code(606)),
        action => honest(3600)(service, action),
    };
    let (outcome, told) = talked(&mut talk(), Round::Map, router);
    assert_eq!(outcome, Outcome::Failed("it is not allowed there (error 606)".to_owned()));
    assert_eq!(told.len(), 2, "another port would not be, either");
}

#[test]
fn what_an_earlier_conversation_left_is_taken_up() {
    let mut before = talk();
    let mut honest = honest(3600);
    talked(&mut before, Round::Map, |service, action| match action {
        Action::Add { external: 6881, .. } => Err(Fault::Code(501)),
        action => honest(service, action),
    });
    let left = before.entries[0].external;
    assert!(OTHER_PORTS.contains(&left) && before.owes());
    let mut talk = talk();
    assert!(!talk.owes());
    talk.follow(before);
    let (outcome, told) = talked(&mut talk, Round::Map, self::honest(3600));
    assert_eq!(granted(outcome).tcp, left, "the port that we had");
    assert_eq!(adds(&told).len(), 2);
    let (_, told) = talked(&mut talk, Round::Unmap, self::honest(3600));
    assert_eq!(told.iter().map(Action::name).collect::<Vec<_>>(), ["DeletePortMapping"; 2]);
}
