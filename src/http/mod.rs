//! What every HTTP server of ours needs, whatever it answers: how many may connect and for how
//! long, how large a body may be, which web pages may ask, who knows the token. Not here: routes
//! and what they mean, which belong to the servers; and HTTP from the other side (`net/http`).
//!
//! | file | floor | what |
//! |---|---|---|
//! | [`answer`] | 1 | answers that all servers give, and headers of every answer |
//! | [`origin`] | 1 | for which names a server is asked, and on behalf of which page |
//! | [`token`] | 1 | tokens, and the end of patience with those who guess them |
//! | [`body`] | 3 | large bodies within a budget |
//! | [`connections`] | 3 | connections: how many, how long, how slow |
//! | `paced` | 3 | who takes too little of an answer |

pub mod answer;
pub mod body;
pub mod connections;
pub mod origin;
mod paced;
pub mod token;

#[cfg(test)]
mod tests;
