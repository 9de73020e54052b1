//! Datagrams that wait in a socket, many a call (recvmmsg(2)): a call that brings fewer than it has
//! room for has emptied the socket, so that none is made in vain. Not here: who reads them.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::refusals::address_of;

/// The longest datagram that is read whole: a tracker's longest reply has 3.6 KiB.
pub(super) const DATAGRAM_LEN: usize = 8 << 10;
/// Datagrams of one call: 64 KiB for each socket.
const CALL: usize = 8;

/// Where they are read to.
pub(super) struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// An empty one.
    pub fn new() -> Self {
        Self { bytes: vec![0; CALL * DATAGRAM_LEN] }
    }

    /// Tells of some that wait, and how many these were. `may_stop` says that a call may be cut
    /// short by an error of the socket, after which more may wait.
    ///
    /// # Errors
    /// `WouldBlock` when no more wait, also behind those that it has told of; or what a datagram
    /// of ours met.
    pub fn take(
        &mut self,
        socket: &UdpSocket,
        may_stop: bool,
        mut tell: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<usize> {
        socket.try_io(Interest::READABLE, || {
            let count = self.receive(socket, &mut tell)?;
            // Tokio hears of it by this error, and wakes us when others have come.
            let is_empty = count < CALL && !may_stop;
            if is_empty { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
        })
    }

    fn receive(
        &mut self,
        socket: &UdpSocket,
        tell: &mut impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<usize> {
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(CALL, None);
        let slices = self.bytes.chunks_exact_mut(DATAGRAM_LEN);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            slices.map(|slice| [IoSliceMut::new(slice)]).collect();
        let fd = socket.as_raw_fd();
        let came = recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut count = 0;
        for message in came {
            count += 1;
            let from = message.address.as_ref().and_then(address_of);
            // All of it lies in one slice; an empty one has none.
            let bytes = message.iovs().next().unwrap_or_default();
            if let Some(from) = from {
                tell(from, bytes);
            }
        }
        Ok(count)
    }
}
