//! Two networks joined by a cable that can be pulled: network namespaces and a pair of virtual interfaces.
//!
//! Owns:  making them, switching the cable's ends on and off.
//! Never: needs a program or a privilege that a machine may lack: it asks the kernel itself.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use outboxd::service::{Dedup, Received, Reply, Service};
use rustix::net::netdevice::name_to_index;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::namespace::{Own, with_own};

/// Addresses of the two ends, in a range that is kept for tests of networks (RFC 2544).
const NEAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// An end of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The daemon's: switched off, its routes go.
    Near,
    /// The service's: switched off, the daemon's loses its carrier and keeps its routes.
    Far,
}

/// The test's own network and the service's.
pub(crate) struct Cable {
    near: Netlink,
    far: mpsc::Sender<Ask>,
}

/// What is asked of the thread that lives in the far network.
enum Ask {
    Switch(bool, mpsc::Sender<()>),
    Start(Box<dyn Fn(&Received) -> Reply + Send + Sync>, oneshot::Sender<Service>),
}

impl Cable {
    /// Starts a service at the far end; it recognizes send tokens.
    pub(crate) async fn service(
        &self,
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Service {
        let (reply, answer) = oneshot::channel();
        self.far.send(Ask::Start(Box::new(script), reply)).unwrap();
        answer.await.unwrap()
    }

    /// Tells the near end for good where the far one is, so that it never asks: as if a router stood between them.
    pub(crate) fn put_a_router_between(&self) {
        self.near.add_neighbour("near", FAR);
    }

    /// Switches an end off: nothing passes any more.
    pub(crate) fn pull(&self, end: End) {
        self.switch(end, false);
    }

    /// Switches an end on again; returns when that was.
    pub(crate) fn plug(&self, end: End) -> Instant {
        let now = Instant::now();
        self.switch(end, true);
        now
    }

    fn switch(&self, end: End, on: bool) {
        match end {
            End::Near => self.near.switch("near", on),
            End::Far => {
                let (reply, answer) = mpsc::channel();
                self.far.send(Ask::Switch(on, reply)).unwrap();
                answer.recv().unwrap();
            }
        }
    }
}

/// Runs a test whose thread, and every process that it starts, has a network with one cable to another one. `name` is
/// the test's full name. Says so and returns where the system does not allow it.
pub(crate) fn with_cable<T: Future<Output = ()>>(name: &str, test: impl FnOnce(Cable) -> T + Send + 'static) {
    with_own(Own::Network, name, move || {
        let cable = lay();
        own_runtime().block_on(test(cable));
    });
}

fn own_runtime() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Makes the far network, and the cable.
fn lay() -> Cable {
    let (far, asked) = mpsc::channel();
    let (ready, far_thread) = mpsc::channel();
    let (laid, go_on) = mpsc::channel();
    thread::spawn(move || live_at_the_far_end(&ready, &go_on, &asked));
    let far_thread: u32 = far_thread.recv().unwrap();
    let near = Netlink::open();
    near.add_pair("near", "far", far_thread);
    near.switch("lo", true);
    near.add_address("near", NEAR);
    near.switch("near", true);
    laid.send(()).unwrap();
    let cable = Cable { near, far };
    // An answer means that its end has its address.
    cable.switch(End::Far, true);
    cable
}

fn live_at_the_far_end(ready: &mpsc::Sender<u32>, laid: &mpsc::Receiver<()>, asked: &mpsc::Receiver<Ask>) {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ready.send(gettid().as_raw().unsigned_abs()).unwrap();
    laid.recv().unwrap();
    let far = Netlink::open();
    far.add_address("far", FAR);
    // Its one worker is a thread of this network, and stays with it when this one waits.
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    while let Ok(ask) = asked.recv() {
        match ask {
            Ask::Switch(on, done) => {
                far.switch("far", on);
                // The test may have failed meanwhile.
                let _ = done.send(());
            }
            Ask::Start(script, reply) => {
                let start = Service::start_with((FAR, 0).into(), Dedup::ByToken, script);
                let service = runtime.block_on(start).unwrap();
                let _ = reply.send(service);
            }
        }
    }
}

/// The kernel's routing socket, asked for changes. Numbers are those of linux/rtnetlink.h and linux/if_link.h.
struct Netlink(OwnedFd);

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_NEIGHBOUR: u16 = 28;
/// A request that is answered; and that makes something new.
const ANSWERED: u16 = 0x1 | 0x4;
const NEW: u16 = ANSWERED | 0x400 | 0x200;
/// Makes it, or replaces what was learned.
const REPLACE: u16 = 0x400 | 0x100;
const NAME: u16 = 3;
const UP: u32 = 1;
/// A neighbour that is never asked for.
const PERMANENT: u16 = 0x80;
/// The far end's hardware address: one that is nobody's.
const FAR_HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 2];

impl Netlink {
    /// Opens it in this thread's network.
    fn open() -> Self {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None).unwrap();
        bind(&socket, &SocketAddrNetlink::new(0, 0)).unwrap();
        Self(socket)
    }

    /// Makes a pair of joined interfaces, one of them in another thread's network.
    fn add_pair(&self, name: &str, peer: &str, peer_thread: u32) {
        let in_thread = attribute(19, &peer_thread.to_ne_bytes());
        let hardware = attribute(1, &FAR_HARDWARE);
        let peer = [link(0, 0), attribute(NAME, &text(peer)), hardware, in_thread].concat();
        let pair = [attribute(1, b"veth"), attribute(2, &attribute(1, &peer))].concat();
        self.ask(NEW_LINK, NEW, &[link(0, 0), attribute(NAME, &text(name)), attribute(18, &pair)].concat());
    }

    fn switch(&self, name: &str, on: bool) {
        let flags = if on { UP } else { 0 };
        self.ask(NEW_LINK, ANSWERED, &[link(flags, UP), attribute(NAME, &text(name))].concat());
    }

    /// Gives an interface an address in a network of 256.
    fn add_address(&self, name: &str, address: Ipv4Addr) {
        let index = name_to_index(&self.0, name).unwrap();
        let mut body = vec![2, 24, 0, 0];
        body.extend(index.to_ne_bytes());
        for kind in [1, 2] {
            body.extend(attribute(kind, &address.octets()));
        }
        self.ask(NEW_ADDRESS, NEW, &body);
    }

    fn add_neighbour(&self, name: &str, address: Ipv4Addr) {
        let index = name_to_index(&self.0, name).unwrap();
        let mut body = vec![2, 0, 0, 0];
        body.extend(index.to_ne_bytes());
        body.extend(PERMANENT.to_ne_bytes());
        body.extend([0, 0]);
        body.extend(attribute(1, &address.octets()));
        body.extend(attribute(2, &FAR_HARDWARE));
        self.ask(NEW_NEIGHBOUR, ANSWERED | REPLACE, &body);
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) {
        let length = u32::try_from(16 + body.len()).unwrap();
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        send(&self.0, &message, SendFlags::empty()).unwrap();
        let mut answer = [0; 1024];
        recv(&self.0, &mut answer[..], RecvFlags::empty()).unwrap();
        let error = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
        assert_eq!(error, 0, "the kernel refuses a change of the network: {message:?}");
    }
}

/// `struct ifinfomsg`, with the flags to change.
fn link(flags: u32, change: u32) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend(flags.to_ne_bytes());
    body.extend(change.to_ne_bytes());
    body
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A name with the end that C gives it.
fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), &[0]].concat()
}
