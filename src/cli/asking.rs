//! Questions to the session of this run by its API, in the process: answers by their kind. It
//! keeps nothing.

use crate::api::{Answer, Done, File, List, Peer, Source};

/// What comes of one kind of question.
pub trait Answered: Sized {
    /// The answer; none when it is one of another kind.
    fn of(answer: Answer) -> Option<Self>;
}

macro_rules! answered {
    ($($kind:ident: $of:ty),*) => {
        $(impl Answered for $of {
            fn of(answer: Answer) -> Option<Self> {
                match answer {
                    Answer::$kind(it) => Some(it),
                    _ => None,
                }
            }
        })*
    };
}

answered!(Done: Done, Files: Vec<File>, List: List, Peers: Vec<Peer>, Sources: Vec<Source>);
