//! News on Linux: the kernel's routing socket (netlink), listened to.
//!
//! Owns:  the socket, and which groups of news it hears.
//! Never: asks for more than the interfaces that there are, once; decides what a message means (`message`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use tokio::io::unix::AsyncFd;

use super::Source;
use super::message::Interfaces;
use crate::engine::News;

/// Groups of news (linux/rtnetlink.h), as bits: links; addresses and routes of IPv4; the same of IPv6.
const GROUPS: u32 = 1 | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10;

/// Bytes read of a packet: the heads of its messages. The kernel cuts off the rest, which nobody needs.
const PACKET: usize = 8 * 1024;

/// Packets read at once: no more fit into a socket's buffer, so a storm cannot keep the reader for ever.
const PACKETS_MAX: usize = 1024;

/// The kernel's news.
pub(super) struct System {
    socket: AsyncFd<OwnedFd>,
    interfaces: Interfaces,
}

/// What the socket had.
enum Read {
    News(Option<News>),
    Empty,
}

impl System {
    /// Begins to listen.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Without a protocol it is the routing one, which has the number 0.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        // The answer comes among the news, and is the first.
        send(&socket, &Interfaces::request(), SendFlags::empty())?;
        #[expect(
            deprecated,
            reason = "what it warns of cannot happen to a descriptor that is owned and never changes"
        )]
        let socket = AsyncFd::new(socket)?;
        Ok(Self { socket, interfaces: Interfaces::default() })
    }
}

fn read(socket: &AsyncFd<OwnedFd>, interfaces: &mut Interfaces) -> io::Result<Read> {
    let mut packet = [0; PACKET];
    match recv(socket.get_ref(), &mut packet[..], RecvFlags::empty()) {
        Ok((length, _)) => Ok(Read::News(interfaces.read(packet.get(..length).unwrap_or_default()))),
        Err(rustix::io::Errno::AGAIN) => Ok(Read::Empty),
        Err(rustix::io::Errno::INTR) => Ok(Read::News(None)),
        // Among them that more came than the buffer holds (ENOBUFS): what is known of the interfaces is then old.
        Err(error) => Err(error.into()),
    }
}

impl Source for System {
    async fn next(&mut self) -> io::Result<News> {
        let Self { socket, interfaces } = self;
        loop {
            let mut ready = socket.readable().await?;
            match read(socket, interfaces)? {
                Read::News(Some(news)) => return Ok(interfaces.seen_whole(news)),
                Read::News(None) => {}
                Read::Empty => ready.clear_ready(),
            }
        }
    }

    fn gathered(&mut self) -> io::Result<Option<News>> {
        let mut worst = None;
        for _ in 0..PACKETS_MAX {
            match read(&self.socket, &mut self.interfaces)? {
                Read::News(news) => worst = worst.max(news),
                Read::Empty => break,
            }
        }
        Ok(worst.map(|news| self.interfaces.seen_whole(news)))
    }
}
