//! What is said to a SOCKS5 proxy (RFC 1928), with names and passwords (RFC 1929): connect there,
//! or carry my datagrams. Whatever it answers is short by its format; how long it may take is
//! limited by whoever asks. Not here: sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::remote::Remote;

const VERSION: u8 = 5;
const VERSION_OF_LOGIN: u8 = 1;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const V4: u8 = 1;
const NAME: u8 = 3;
const V6: u8 = 4;
/// The longest name that has a place in a request.
const NAME_LEN_MAX: usize = 255;

/// What is asked of the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    /// A connection.
    Connect = 1,
    /// A relay of datagrams.
    Associate = 3,
}

/// Why the proxy does not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The connection to it broke.
    #[error("the connection to it broke: {0}")]
    Lost(#[from] io::Error),
    /// It is no SOCKS5 proxy.
    #[error("it does not speak SOCKS5: it answers with {0}")]
    Version(u8),
    /// It wants to know who we are, in a way that we do not know, or though nobody told us.
    #[error("it wants a name and password that it was not given, or another way to show them")]
    Login,
    /// It does not know us.
    #[error("it refuses the name and password")]
    Refused,
    /// It says no.
    #[error("{0}")]
    Reply(&'static str),
    /// Its answer has an address of no known kind.
    #[error("it answers with an address of kind {0}")]
    Kind(u8),
    /// The name is too long for it.
    #[error("the name of {0} bytes is too long for it")]
    Name(usize),
}

impl Error {
    /// Is it the proxy itself that is of no use, whoever it was to connect to?
    pub(super) fn is_of_proxy(&self) -> bool {
        matches!(self, Self::Version(_) | Self::Login | Self::Refused | Self::Kind(_))
    }
}

/// Asks for `command`, once the proxy has been [greeted](greet); returns the address that it
/// names, which is none when it names none that counts: then its own is meant
/// (libtorrent#6986).
///
/// # Errors
/// What the proxy does not do.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    command: Command,
    to: &Remote,
) -> Result<Option<SocketAddr>, Error> {
    let request = request(command, to)?;
    stream.write_all(&request).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, reply, _, kind] = head;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    if reply != 0 {
        return Err(Error::Reply(reply_words(reply)));
    }
    let ip: Option<IpAddr> = match kind {
        V4 => Some(Ipv4Addr::from(read::<4, S>(stream).await?).into()),
        V6 => Some(Ipv6Addr::from(read::<16, S>(stream).await?).into()),
        NAME => {
            let mut name = vec![0; stream.read_u8().await?.into()];
            stream.read_exact(&mut name).await?;
            None
        }
        other => return Err(Error::Kind(other)),
    };
    let port = stream.read_u16().await?;
    let is_told = |ip: &IpAddr| !ip.to_canonical().is_unspecified();
    // Of a name only the port counts.
    let ip = ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let address = SocketAddr::new(ip.to_canonical(), port);
    Ok((is_told(&ip) || port > 0).then_some(address))
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Says who we are, with a name and password if there are any.
///
/// # Errors
/// When the proxy does not take us, or is none.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    login: Option<(&str, &str)>,
) -> Result<(), Error> {
    let methods: &[u8] = if login.is_some() { &[NO_LOGIN, LOGIN] } else { &[NO_LOGIN] };
    let count = u8::try_from(methods.len()).unwrap_or(1);
    stream.write_all(&[&[VERSION, count], methods].concat()).await?;
    let [version, method] = read::<2, S>(stream).await?;
    if version != VERSION {
        return Err(Error::Version(version));
    }
    match (method, login) {
        (NO_LOGIN, _) => return Ok(()),
        (LOGIN, Some((user, password))) => {
            let mut message = vec![VERSION_OF_LOGIN];
            for text in [user, password] {
                message.push(u8::try_from(text.len()).map_err(|_| Error::Name(text.len()))?);
                message.extend(text.as_bytes());
            }
            stream.write_all(&message).await?;
        }
        // 0xff is: none of these.
        _ => return Err(Error::Login),
    }
    let [_, status] = read::<2, S>(stream).await?;
    if status == 0 { Ok(()) } else { Err(Error::Refused) }
}

fn request(command: Command, to: &Remote) -> Result<Vec<u8>, Error> {
    let mut request = vec![VERSION, command as u8, 0];
    write_remote(&mut request, to)?;
    Ok(request)
}

fn write_remote(out: &mut Vec<u8>, to: &Remote) -> Result<(), Error> {
    let port = match to {
        Remote::Address(address) => {
            write_ip(out, address.ip());
            address.port()
        }
        Remote::Name { host, port } => {
            let len = u8::try_from(host.len()).map_err(|_| Error::Name(host.len()))?;
            out.extend([NAME, len]);
            out.extend(host.as_bytes());
            *port
        }
    };
    out.extend(port.to_be_bytes());
    Ok(())
}

fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(four) => {
            out.push(V4);
            out.extend(four.octets());
        }
        IpAddr::V6(six) => {
            out.push(V6);
            out.extend(six.octets());
        }
    }
}

/// A datagram for `to` as the relay takes it (RFC 1928, 7).
pub(super) fn wrap(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 3];
    write_ip(&mut out, to.ip());
    out.extend(to.port().to_be_bytes());
    out.extend(bytes);
    out
}

/// Who sent a datagram that the relay brings, and what; none for fragments, names, and what is no
/// such thing.
pub(super) fn unwrap(datagram: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (head, rest) = datagram.split_first_chunk::<4>()?;
    let [_, _, 0, kind] = *head else { return None };
    let (ip, rest): (IpAddr, _) = match kind {
        V4 => rest.split_first_chunk::<4>().map(|(ip, rest)| ((*ip).into(), rest))?,
        V6 => rest.split_first_chunk::<16>().map(|(ip, rest)| ((*ip).into(), rest))?,
        _ => return None,
    };
    let (port, bytes) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(*port)), bytes))
}

fn reply_words(reply: u8) -> &'static str {
    match reply {
        1 => "it failed",
        2 => "it does not allow that",
        3 => "it does not reach that network",
        4 => "it does not reach that host",
        5 => "the connection was refused there",
        6 => "it took too long there",
        7 => "it does not do that",
        8 => "it knows no addresses of that kind",
        _ => "it says no, without a reason that is known",
    }
}

/// Is this a name that has a place in a request?
pub(super) fn fits(host: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&host.len())
}

#[cfg(test)]
mod tests;
