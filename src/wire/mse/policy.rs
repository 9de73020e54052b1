//! What a user wants of encryption, and what follows for a connection. Which of two ways is tried
//! first with whom depends on what is known of the peer; that is asked for here, not kept.

use super::Method;

/// How connections to peers are begun and taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Encryption {
    /// Encrypted handshakes first, then plain ones; both are taken. What follows an encrypted
    /// handshake is hidden only if the peer wants it so.
    #[default]
    Prefer,
    /// Everything is hidden, whoever calls; others are left.
    Require,
    /// Plain handshakes first, then encrypted ones; both are taken.
    Allow,
    /// No encryption either way.
    Off,
}

/// Which ways of beginning a connection a peer is known to take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Ways {
    /// An encrypted handshake has worked.
    pub encrypted: bool,
    /// A plain one has.
    pub plain: bool,
    /// Others, or it, say that it prefers encryption.
    pub is_said_to_prefer: bool,
}

/// How one attempt begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// With BEP 3's handshake.
    Plain,
    /// With MSE's.
    Encrypted,
}

impl Encryption {
    /// How to begin with a peer, and how again if it has said nothing by then.
    pub fn attempts(self, known: Ways) -> (Way, Option<Way>) {
        let is_first = match self {
            Self::Off => return (Way::Plain, None),
            Self::Require => return (Way::Encrypted, None),
            Self::Prefer => known.encrypted || !known.plain,
            Self::Allow => !known.plain && (known.encrypted || known.is_said_to_prefer),
        };
        match is_first {
            true => (Way::Encrypted, Some(Way::Plain)),
            false => (Way::Plain, Some(Way::Encrypted)),
        }
    }

    /// Are encrypted handshakes taken?
    pub fn takes_encrypted(self) -> bool {
        self != Self::Off
    }

    /// Are plain handshakes taken?
    pub fn takes_plain(self) -> bool {
        self != Self::Require
    }

    /// Do we tell others that we prefer encryption?
    pub fn is_preferred(self) -> bool {
        matches!(self, Self::Prefer | Self::Require)
    }

    /// May this method follow an encrypted handshake?
    pub fn takes(self, method: Method) -> bool {
        match method {
            Method::Plaintext => matches!(self, Self::Prefer | Self::Allow),
            Method::Rc4 => self.takes_encrypted(),
        }
    }

    /// The methods to offer, one bit each.
    pub(super) fn provide(self) -> u32 {
        let methods = [Method::Plaintext, Method::Rc4].into_iter();
        methods.filter(|method| self.takes(*method)).map(Method::bit).sum()
    }

    /// The one to select of those that were offered. Bits that nobody defined are ignored:
    /// BiglyBT's client has had names for two more.
    pub(super) fn select(self, provided: u32) -> Option<Method> {
        let methods = [Method::Plaintext, Method::Rc4].into_iter();
        methods.filter(|method| self.takes(*method)).find(|it| provided & it.bit() != 0)
    }

    /// The one that was selected, if it is exactly one and may be.
    pub(super) fn selected(self, bits: u32) -> Option<Method> {
        let known = bits & (Method::Plaintext.bit() | Method::Rc4.bit());
        let methods = [Method::Plaintext, Method::Rc4].into_iter();
        methods.filter(|method| self.takes(*method)).find(|method| known == method.bit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Ways = Ways { encrypted: false, plain: false, is_said_to_prefer: false };
    const ENCRYPTED: Ways = Ways { encrypted: true, ..NOTHING };
    const PLAIN: Ways = Ways { plain: true, ..NOTHING };
    const SAID: Ways = Ways { is_said_to_prefer: true, ..NOTHING };

    #[test]
    fn the_first_way_is_what_worked_then_what_the_policy_says() {
        use Encryption::{Allow, Off, Prefer, Require};
        let both = Ways { plain: true, ..ENCRYPTED };
        let plain_but_said = Ways { plain: true, ..SAID };
        let first = |policy: Encryption, known| policy.attempts(known).0;
        for known in [NOTHING, ENCRYPTED, SAID, both] {
            assert_eq!(first(Prefer, known), Way::Encrypted, "{known:?}");
        }
        for known in [PLAIN, plain_but_said] {
            assert_eq!(first(Prefer, known), Way::Plain, "{known:?}");
        }
        for known in [NOTHING, PLAIN, both, plain_but_said] {
            assert_eq!(first(Allow, known), Way::Plain, "{known:?}");
        }
        for known in [ENCRYPTED, SAID] {
            assert_eq!(first(Allow, known), Way::Encrypted, "{known:?}");
        }
        for known in [NOTHING, ENCRYPTED, PLAIN, SAID, both] {
            assert_eq!(Require.attempts(known), (Way::Encrypted, None));
            assert_eq!(Off.attempts(known), (Way::Plain, None));
            for policy in [Prefer, Allow] {
                let (first, second) = policy.attempts(known);
                assert!(second.is_some_and(|second| second != first), "the other way");
            }
        }
    }

    #[test]
    fn one_method_is_selected_and_one_is_believed() {
        use Encryption::{Allow, Off, Prefer, Require};
        let (plain, rc4) = (Some(Method::Plaintext), Some(Method::Rc4));
        let table = [
            (Prefer, 3, [None, plain, rc4, plain, None, plain], [None, plain, rc4, None, plain]),
            (Allow, 3, [None, plain, rc4, plain, None, plain], [None, plain, rc4, None, plain]),
            (Require, 2, [None, None, rc4, rc4, None, None], [None, None, rc4, None, None]),
            (Off, 0, [None; 6], [None; 5]),
        ];
        for (policy, provide, select, selected) in table {
            let offers = [0, 1, 2, 3, 12, 0x8000_0001];
            let answers = [0, 1, 2, 3, 5];
            // What is off is not asked.
            let selects = policy != Off;
            assert!(!selects || policy.provide() == provide, "{policy:?}");
            assert_eq!(offers.map(|bits| policy.select(bits)), select, "{policy:?}");
            assert_eq!(answers.map(|bits| policy.selected(bits)), selected, "{policy:?}");
        }
    }
}
