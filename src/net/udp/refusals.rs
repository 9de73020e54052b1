//! Which addresses refuse our datagrams: ICMP answers, which Linux keeps in a queue beside a
//! socket's own (`IP_RECVERR`, ip(7)). Unreachable hosts and networks are not refusals: often it is
//! our own line that is dead.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd as _;

use nix::cmsg_space;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use rustix::io::Errno;
use socket2::Socket;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Has refusals kept for this socket.
pub(super) fn enable(socket: &Socket, is_v6: bool) -> io::Result<()> {
    match is_v6 {
        true => setsockopt(socket, Ipv6RecvErr, &true)?,
        false => setsockopt(socket, Ipv4RecvErr, &true)?,
    }
    Ok(())
}

/// Tells of at most `most` refusals: who refuses, and the first byte of what was sent there.
pub(super) fn drain(socket: &UdpSocket, most: usize, mut tell: impl FnMut(SocketAddr, Option<u8>)) {
    for _ in 0..most {
        match socket.try_io(Interest::ERROR, || one(socket)) {
            Ok(Some((to, first))) => tell(to, first),
            Ok(None) => {}
            Err(_) => return,
        }
    }
}

/// The oldest entry of the queue, if it is a refusal.
fn one(socket: &UdpSocket) -> io::Result<Option<(SocketAddr, Option<u8>)>> {
    let mut first = [0; 1];
    let mut parts = [IoSliceMut::new(&mut first)];
    // Either family's error with the address of whoever sent the ICMP message.
    let mut room = cmsg_space!([u8; 64]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut room), flags)?;
    let refuses = |message| {
        let error = match message {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => error.ee_errno,
            _ => 0,
        };
        i32::try_from(error) == Ok(Errno::CONNREFUSED.raw_os_error())
    };
    let is_refusal = message.cmsgs()?.any(refuses);
    let (len, address) = (message.bytes, message.address);
    let to = address.as_ref().and_then(address_of).filter(|_| is_refusal);
    Ok(to.map(|to| (to, (len > 0).then_some(first[0]))))
}

/// The address of either family.
pub(super) fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let four = |it: &nix::sys::socket::SockaddrIn| SocketAddrV4::from(*it).into();
    let six = |it: &nix::sys::socket::SockaddrIn6| SocketAddrV6::from(*it).into();
    address.as_sockaddr_in().map(four).or_else(|| address.as_sockaddr_in6().map(six))
}
