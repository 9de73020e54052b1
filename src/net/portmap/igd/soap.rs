//! What is asked of a router's services and what they answer (UPnP WANIPConnection 1 and 2,
//! WANIPv6FirewallControl 1), in SOAP. Not here: how it gets there, and what to make of it.

use std::net::IpAddr;

use super::super::types::Transport;
use super::description::Service;
use super::xml;

/// What stands in a router's list, for people. Some routers refuse an entry without.
const DESCRIPTION: &str = "Pigeon";

/// An order or a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The address outside.
    Address,
    /// Map a port of IPv4.
    Add {
        /// Of which protocol.
        transport: Transport,
        /// The port outside.
        external: u16,
        /// Our port.
        internal: u16,
        /// Our address.
        own: IpAddr,
        /// For how long; 0 is for ever.
        lease_s: u32,
    },
    /// What is known of a port?
    Look {
        /// Of which protocol.
        transport: Transport,
        /// The port outside.
        external: u16,
    },
    /// Map it no more.
    Delete {
        /// Of which protocol.
        transport: Transport,
        /// The port outside.
        external: u16,
    },
    /// Let connections over IPv6 in.
    AddPinhole {
        /// Of which protocol.
        transport: Transport,
        /// Our port.
        internal: u16,
        /// Our address.
        own: IpAddr,
        /// For how long, 1 to 86,400.
        lease_s: u32,
    },
    /// Let them in for longer.
    UpdatePinhole {
        /// What it is called.
        id: u16,
        /// For how long from now.
        lease_s: u32,
    },
    /// Let them in no more.
    DeletePinhole {
        /// What it is called.
        id: u16,
    },
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// The address outside, as it is written; a router that is not connected says nothing or 0.
    Address(Option<IpAddr>),
    /// A port is mapped.
    Entry {
        /// To whom.
        client: Option<IpAddr>,
        /// To which port.
        internal: u16,
        /// For how long; 0 is for ever.
        lease_s: u32,
    },
    /// A pinhole is open, and called so.
    Pinhole(u16),
}

/// Why there is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The router says why; some tell negative numbers.
    Code(i32),
    /// It does not answer, or nobody understands it.
    Broken(String),
}

impl Action {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Address => "GetExternalIPAddress",
            Self::Add { .. } => "AddPortMapping",
            Self::Look { .. } => "GetSpecificPortMappingEntry",
            Self::Delete { .. } => "DeletePortMapping",
            Self::AddPinhole { .. } => "AddPinhole",
            Self::UpdatePinhole { .. } => "UpdatePinhole",
            Self::DeletePinhole { .. } => "DeletePinhole",
        }
    }

    /// Its arguments, in the order of the standard, which some routers insist on.
    fn arguments(&self) -> Vec<(&'static str, String)> {
        let entry = |transport: &Transport, external: &u16| {
            vec![
                ("NewRemoteHost", String::new()),
                ("NewExternalPort", external.to_string()),
                ("NewProtocol", transport.to_string()),
            ]
        };
        match self {
            Self::Address => Vec::new(),
            Self::Add { transport, external, internal, own, lease_s } => {
                let mut all = entry(transport, external);
                all.extend([
                    ("NewInternalPort", internal.to_string()),
                    ("NewInternalClient", own.to_string()),
                    ("NewEnabled", "1".to_owned()),
                    ("NewPortMappingDescription", DESCRIPTION.to_owned()),
                    ("NewLeaseDuration", lease_s.to_string()),
                ]);
                all
            }
            Self::Look { transport, external } | Self::Delete { transport, external } => {
                entry(transport, external)
            }
            Self::AddPinhole { transport, internal, own, lease_s } => vec![
                ("RemoteHost", String::new()),
                ("RemotePort", "0".to_owned()),
                ("InternalClient", own.to_string()),
                ("InternalPort", internal.to_string()),
                ("Protocol", transport.number().to_string()),
                ("LeaseTime", lease_s.to_string()),
            ],
            Self::UpdatePinhole { id, lease_s } => {
                vec![("UniqueID", id.to_string()), ("NewLeaseTime", lease_s.to_string())]
            }
            Self::DeletePinhole { id } => vec![("UniqueID", id.to_string())],
        }
    }

    /// The value of `SOAPAction`, quotes included.
    pub fn header(&self, service: &Service) -> String {
        format!("\"{}#{}\"", service.name, self.name())
    }

    /// The body of the request.
    pub fn body(&self, service: &Service) -> String {
        let arguments = self.arguments().into_iter();
        let arguments: String =
            arguments.map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        let (action, name) = (self.name(), &service.name);
        format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope \
             xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{name}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        )
    }

    /// Understands the answer.
    ///
    /// # Errors
    /// What the router says, or that it cannot be understood.
    pub fn read(&self, bytes: &[u8]) -> Result<Reply, Fault> {
        let told = Told::read(bytes, &format!("{}Response", self.name()));
        let told = told.map_err(|error| Fault::Broken(error.to_string()))?;
        let value = |name: &str| told.value(name);
        if let Some(code) = value("errorCode") {
            let code = code.parse().map_err(|_| Fault::Broken("its error has no code".to_owned()));
            return Err(Fault::Code(code?));
        }
        let unclear = || Fault::Broken(format!("it does not answer {}", self.name()));
        if !told.is_answer {
            return Err(unclear());
        }
        Ok(match self {
            Self::Address => {
                let address = value("NewExternalIPAddress").unwrap_or_default().parse().ok();
                Reply::Address(address.filter(|address: &IpAddr| !address.is_unspecified()))
            }
            Self::Look { .. } => Reply::Entry {
                client: value("NewInternalClient").and_then(|it| it.parse().ok()),
                internal: value("NewInternalPort")
                    .and_then(|it| it.parse().ok())
                    .ok_or_else(unclear)?,
                lease_s: value("NewLeaseDuration").and_then(|it| it.parse().ok()).unwrap_or(0),
            },
            Self::AddPinhole { .. } => {
                let id = value("UniqueID").and_then(|it| it.parse().ok());
                Reply::Pinhole(id.ok_or_else(unclear)?)
            }
            _ => Reply::Done,
        })
    }
}

/// What is looked for in answers.
const VALUES: [&str; 6] = [
    "NewExternalIPAddress",
    "NewInternalClient",
    "NewInternalPort",
    "NewLeaseDuration",
    "UniqueID",
    "errorCode",
];

/// What is found of that; whatever else an answer has is passed over, as it may have any number
/// of other names.
#[derive(Debug, Default)]
struct Told {
    /// It is the answer that is wanted.
    is_answer: bool,
    values: Vec<(&'static str, String)>,
}

impl Told {
    /// What is told in an element that is called `wanted`, if it is; the first word counts.
    fn read(bytes: &[u8], wanted: &str) -> Result<Self, xml::Error> {
        let mut told = Self::default();
        xml::read(bytes, |path, text| {
            let Some(own) = path.last() else { return };
            told.is_answer |= own == wanted;
            if let Some(name) = VALUES.into_iter().find(|name| name == own)
                && told.value(name).is_none()
            {
                told.values.push((name, text.to_owned()));
            }
        })?;
        Ok(told)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// An error in words.
pub fn words(fault: &Fault) -> String {
    match fault {
        Fault::Broken(why) => why.clone(),
        Fault::Code(code) => match code {
            401 | 602 => format!("it does not do that (error {code})"),
            402 | 600 | 601 => format!("it does not take what it is told (error {code})"),
            606 | 729 | 730 => format!("it is not allowed there (error {code})"),
            501 => "it failed (error 501)".to_owned(),
            714 => "it did not keep the mapping (error 714)".to_owned(),
            718 => "the ports that were tried are taken (error 718)".to_owned(),
            728 => "it has no room for another one (error 728)".to_owned(),
            702 => "its firewall for IPv6 is off (error 702)".to_owned(),
            703 => "its firewall lets nobody in (error 703)".to_owned(),
            code => format!("error {code}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::description::Kind;
    use super::*;

    fn service() -> Service {
        Service {
            kind: Kind::Connection,
            name: "urn:schemas-upnp-org:service:WANIPConnection:1".to_owned(),
            port: 80,
            path: "/c".to_owned(),
        }
    }

    fn envelope(inside: &str) -> Vec<u8> {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"e\"><s:Body>{inside}</s:Body>\
             </s:Envelope>"
        )
        .into_bytes()
    }

    #[test]
    fn an_order_is_written_as_the_standard_has_it() {
        let add = Action::Add {
            transport: Transport::Tcp,
            external: 6882,
            internal: 6881,
            own: "192.168.1.7".parse().unwrap(),
            lease_s: 3600,
        };
        let name = "urn:schemas-upnp-org:service:WANIPConnection:1";
        assert_eq!(add.header(&service()), format!("\"{name}#AddPortMapping\""));
        let body = add.body(&service());
        let inside = "<NewRemoteHost></NewRemoteHost><NewExternalPort>6882</NewExternalPort>\
            <NewProtocol>TCP</NewProtocol><NewInternalPort>6881</NewInternalPort>\
            <NewInternalClient>192.168.1.7</NewInternalClient><NewEnabled>1</NewEnabled>\
            <NewPortMappingDescription>Pigeon</NewPortMappingDescription>\
            <NewLeaseDuration>3600</NewLeaseDuration>";
        assert!(body.contains(&format!(
            "<s:Body><u:AddPortMapping xmlns:u=\"{name}\">{inside}</u:AddPortMapping></s:Body>"
        )));
        xml::read(body.as_bytes(), |_, _| {}).unwrap();
        let hole = Action::AddPinhole {
            transport: Transport::Udp,
            internal: 6881,
            own: "2001:db8::7".parse().unwrap(),
            lease_s: 3600,
        };
        assert!(hole.body(&service()).contains(
            "<RemoteHost></RemoteHost><RemotePort>0</RemotePort><InternalClient>2001:db8::7\
             </InternalClient><InternalPort>6881</InternalPort><Protocol>17</Protocol>\
             <LeaseTime>3600</LeaseTime>"
        ));
    }

    #[test]
    fn answers_and_faults_are_told_apart() {
        let address = |text: &str| {
            let inside = format!(
                "<u:GetExternalIPAddressResponse xmlns:u=\"x\"><NewExternalIPAddress>{text}\
                 </NewExternalIPAddress></u:GetExternalIPAddressResponse>"
            );
            Action::Address.read(&envelope(&inside))
        };
        assert_eq!(address("203.0.113.7"), Ok(Reply::Address("203.0.113.7".parse().ok())));
        for none in ["", "0.0.0.0", "router"] {
            assert_eq!(address(none), Ok(Reply::Address(None)), "{none}");
        }
        let look = Action::Look { transport: Transport::Tcp, external: 6881 };
        let entry = envelope(
            "<u:GetSpecificPortMappingEntryResponse><NewInternalPort>6881</NewInternalPort>\
             <NewInternalClient>192.168.1.7</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewLeaseDuration>99</NewLeaseDuration></u:GetSpecificPortMappingEntryResponse>",
        );
        let client = "192.168.1.7".parse().ok();
        assert_eq!(look.read(&entry), Ok(Reply::Entry { client, internal: 6881, lease_s: 99 }));
        let fault = |code: &str| {
            let inside = format!(
                "<s:Fault><faultcode>s:Client</faultcode><detail><UPnPError><errorCode>{code}\
                 </errorCode></UPnPError></detail></s:Fault>"
            );
            look.read(&envelope(&inside))
        };
        assert_eq!((fault("718"), fault("-911")), (Err(Fault::Code(718)), Err(Fault::Code(-911))));
        assert!(matches!(fault("no"), Err(Fault::Broken(_))));
        assert!(matches!(look.read(b"hello"), Err(Fault::Broken(_))));
        assert!(matches!(look.read(&envelope("<a/>")), Err(Fault::Broken(_))), "no answer to us");
    }
    /// Each name that were kept would be compared with all that come after it.
    #[test]
    fn names_that_nobody_asked_for_are_passed_over() {
        let others: String = (0..20_000).map(|number| format!("<New{number:x}/>")).collect();
        let twice = "<NewInternalPort>1</NewInternalPort>".repeat(100);
        let told = envelope(&format!("<u:aResponse>{others}{twice}</u:aResponse>"));
        assert!(told.len() > 150_000 && told.len() < xml::XML_LEN_MAX);
        let told = Told::read(&told, "aResponse").unwrap();
        assert_eq!(told.values, [("NewInternalPort", "1".to_owned())]);
        assert!(told.is_answer);
    }
}
