//! Doors to a session for programs: HTTP on loopback addresses and on a Unix socket, and who asks
//! there. What is asked and answered are the values of `api`; here they only become paths and
//! bodies, and back.
//!
//! | file | what |
//! |---|---|
//! | `bounded` | JSON of strangers, as much of it as may be held |
//! | `call` | requests as methods, paths and bodies, both ways; the routes |
//! | `front` | each request in the order of what it costs to refuse it; the answers |
//! | `gate` | who may ask: hosts, tokens, how much may be sent |
//! | `page` | the page that people look at, and who has signed in there |
//! | `press` | answers that many ask for, made once |
//! | `qbittorrent` | the WebAPI of qBittorrent |
//! | `stream` | events as they happen (server-sent events) |
//! | `metrics` | numbers for Prometheus |
//! | `transmission` | the RPC of Transmission, for tools that speak it |
//! | `secret` | the file that holds the token |
//! | `visitors` | who has signed in: cookies |
//! | `client` | the other side |

mod bounded;
mod call;
mod client;
mod front;
mod gate;
mod metrics;
mod page;
mod press;
mod qbittorrent;
mod secret;
mod stream;
#[cfg(test)]
mod tests;
mod transmission;
mod visitors;

use std::future::Future;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, watch};

use crate::api::Api;
use crate::http::connections::{self, Counters};
use crate::http::token::Token;

pub use client::{Client, ClientError, Event, Events, Target};
pub use secret::Secret;
pub use transmission::Prefix;

use front::Front;
use gate::{Gate, Hosts};

/// Connections at once, below the 1024 descriptors that a process usually may have.
const CONNECTIONS_MAX: usize = 256;
/// The same on the Unix socket, where each process counts as a host.
const LOCAL_MAX: usize = 128;

/// A server that is ready to run.
pub struct Rpc {
    /// Where it is asked by TCP, with the token.
    pub listeners: Vec<TcpListener>,
    /// Where it is asked by whoever may open the socket, without a token.
    pub local: Option<UnixListener>,
    /// What opens it.
    pub token: Token,
    /// Names that it may be asked by, besides `localhost` and the addresses that it listens at.
    pub hosts: Vec<String>,
    /// Where it is asked as Transmission is.
    pub transmission: Prefix,
    /// Who answers.
    pub api: Api,
}

impl Rpc {
    /// Serves until `end` is ready, or somebody who may orders the end. What is being answered then
    /// gets a second more.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let Self { listeners, local, token, hosts, transmission, api } = self;
        let listening = listeners.iter().filter_map(|it| it.local_addr().ok());
        let hosts = Hosts::new(hosts, listening.map(|it| it.ip()));
        let closes = Arc::new(Notify::new());
        let front =
            Arc::new(Front::new(api, transmission, Gate::new(token, hosts), closes.clone()));
        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            // Whoever holds the other end is gone: that is the end, too.
            let _ = stopped.wait_for(|is_over| *is_over).await;
        };
        let counters = Arc::new(Counters::default());
        let inside = async {
            if let Some(local) = local {
                let (router, told) = (front::router(front.clone(), true), counters.clone());
                let end = until(stopped.clone());
                connections::serve_local(local, router, LOCAL_MAX, told, end).await;
            }
        };
        let (router, told) = (front::router(front.clone(), false), counters.clone());
        let end_of_all = async {
            tokio::select! {
                () = end => {}
                () = closes.notified() => {}
            }
            stop.send_replace(true);
        };
        let outside =
            connections::serve(listeners, router, CONNECTIONS_MAX, told, until(stopped.clone()));
        tokio::join!(inside, outside, end_of_all);
    }
}
