//! What a message of Linux's routing socket says about the network.
//!
//! Owns:  the few bytes of its head that matter (kind, length, an interface's number and flags), and which interfaces
//!        have a carrier.
//! Never: reads addresses or routes: which one it is makes no difference to a hint.

use std::collections::HashMap;

use crate::engine::News;

/// Length of a message's head, and what each message is padded to (linux/netlink.h).
const HEAD: usize = 16;
const ALIGN: usize = 4;

/// Kinds of messages (linux/rtnetlink.h).
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;

/// Where an interface's number and flags stand after the head (`struct ifinfomsg`).
const INDEX_AT: usize = HEAD + 4;
const FLAGS_AT: usize = HEAD + 8;

/// Flags of an interface (linux/if.h): both that say that packets can pass (it is switched on, and it has a carrier);
/// and that it only leads back to this machine.
const PASSES: u32 = 0x1 | 0x1_0000;
const LOOPBACK: u32 = 0x8;

/// A request for all interfaces, answered by a message for each (linux/rtnetlink.h), which is marked as a part of an
/// answer and so no news.
const GET_LINK: u16 = 18;
const REQUEST_ALL: u16 = 0x1 | 0x300;
const PART_OF_ANSWER: u16 = 0x2;
const LINK_BODY: usize = 16;

/// The interfaces that lead out of this machine, and whether packets can pass.
#[derive(Debug, Default)]
pub(super) struct Interfaces(HashMap<i32, bool>);

impl Interfaces {
    /// The message that asks for all of them.
    pub(super) fn request() -> Vec<u8> {
        let length = (HEAD + LINK_BODY) as u32;
        let mut message = length.to_ne_bytes().to_vec();
        message.extend(GET_LINK.to_ne_bytes());
        message.extend(REQUEST_ALL.to_ne_bytes());
        message.resize(HEAD + LINK_BODY, 0);
        message
    }

    /// Takes in a packet of messages. `None` if nothing in it matters. A loss outweighs the rest: what came instead
    /// is found by the probe that either starts.
    pub(super) fn read(&mut self, packet: &[u8]) -> Option<News> {
        let mut rest = packet;
        let mut worst = None;
        while let Some((message, next)) = split(rest) {
            worst = worst.max(self.one(message));
            rest = next;
        }
        worst
    }

    /// What news means with all that is known by now.
    pub(super) fn seen_whole(&self, news: News) -> News {
        let dark = !self.0.is_empty() && self.0.values().all(|passes| !passes);
        if dark { News::Dark } else { news }
    }

    fn one(&mut self, message: &[u8]) -> Option<News> {
        let news = match u16::from_ne_bytes(field(message, 4)?) {
            kind @ (NEW_LINK | DEL_LINK) => self.interface(kind, message)?,
            NEW_ADDRESS | NEW_ROUTE => News::Came,
            DEL_ADDRESS | DEL_ROUTE => News::Gone,
            _ => return None,
        };
        let is_answer = u16::from_ne_bytes(field(message, 6)?) & PART_OF_ANSWER != 0;
        (!is_answer).then_some(news)
    }

    fn interface(&mut self, kind: u16, message: &[u8]) -> Option<News> {
        let index = i32::from_ne_bytes(field(message, INDEX_AT)?);
        let flags = u32::from_ne_bytes(field(message, FLAGS_AT)?);
        if flags & LOOPBACK != 0 {
            return None;
        }
        if kind == DEL_LINK {
            self.0.remove(&index);
            return Some(News::Gone);
        }
        let passes = flags & PASSES == PASSES;
        self.0.insert(index, passes);
        Some(if passes { News::Came } else { News::Gone })
    }
}

/// The first message, and what follows it.
fn split(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(field(packet, 0)?)).ok()?;
    if length < HEAD {
        return None;
    }
    // A message that was cut off still has its head.
    let message = packet.get(..length).unwrap_or(packet);
    Some((message, packet.get(length.next_multiple_of(ALIGN)..).unwrap_or_default()))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with that kind and body, padded.
    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u32::try_from(HEAD + body.len()).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEAD, 0);
        bytes.extend(body);
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    fn read(packet: &[u8]) -> Option<News> {
        Interfaces::default().read(packet)
    }

    fn link(flags: u32) -> Vec<u8> {
        interface(NEW_LINK, 2, flags)
    }

    fn interface(kind: u16, index: i32, flags: u32) -> Vec<u8> {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        message(kind, &body)
    }

    #[test]
    fn a_carrier_an_address_or_a_route_that_comes_or_goes_is_news() {
        // Flags as `ip -d link` shows them: up and lower_up; up without carrier; switched off.
        assert_eq!(read(&link(0x1_1043)), Some(News::Came));
        assert_eq!(read(&link(0x1003)), Some(News::Gone));
        assert_eq!(read(&link(0x1002)), Some(News::Gone));
        for (kind, news) in [
            (NEW_ADDRESS, News::Came),
            (NEW_ROUTE, News::Came),
            (DEL_ADDRESS, News::Gone),
            (DEL_ROUTE, News::Gone),
        ] {
            assert_eq!(read(&message(kind, &[0; 12])), Some(news));
        }
        assert_eq!(read(&interface(DEL_LINK, 2, 0x1003)), Some(News::Gone));
        assert_eq!(read(&link(0x1_0049)), None, "the way back to this machine");
        // An answer and a neighbour are none.
        assert_eq!(read(&message(2, &[0; 4])), None);
        assert_eq!(read(&message(28, &[0; 12])), None);
    }

    #[test]
    fn of_several_messages_a_loss_outweighs_the_rest() {
        let packet = [message(NEW_ROUTE, &[0; 9]), message(DEL_ADDRESS, &[0; 3]), link(0x1_1043)].concat();
        assert_eq!(read(&packet), Some(News::Gone));
    }

    #[test]
    fn it_is_dark_while_interfaces_are_there_and_none_has_a_carrier() {
        let mut interfaces = Interfaces::default();
        let mut hear = |packet: &[u8]| {
            let news = interfaces.read(packet);
            news.map(|news| interfaces.seen_whole(news))
        };
        const WITH: u32 = 0x1_1043;
        const WITHOUT: u32 = 0x1003;
        assert_eq!(hear(&message(DEL_ROUTE, &[0; 12])), Some(News::Gone), "nothing is known yet");
        assert_eq!(hear(&interface(NEW_LINK, 2, WITH)), Some(News::Came));
        assert_eq!(hear(&interface(NEW_LINK, 3, WITHOUT)), Some(News::Gone));
        assert_eq!(hear(&interface(NEW_LINK, 2, WITHOUT)), Some(News::Dark));
        assert_eq!(hear(&message(NEW_ROUTE, &[0; 12])), Some(News::Dark));
        let returned = [interface(NEW_LINK, 3, WITHOUT), interface(NEW_LINK, 2, WITH)].concat();
        assert_eq!(hear(&returned), Some(News::Gone), "it is the whole that counts");
        assert_eq!(hear(&interface(DEL_LINK, 2, WITH)), Some(News::Dark));
        assert_eq!(hear(&interface(DEL_LINK, 3, WITHOUT)), Some(News::Gone), "nothing is known again");
    }

    #[test]
    fn an_answer_tells_which_interfaces_there_are_and_is_no_news() {
        let mut interfaces = Interfaces::default();
        let mut answer = link(0x1003);
        answer[6..8].copy_from_slice(&PART_OF_ANSWER.to_ne_bytes());
        assert_eq!(interfaces.read(&answer), None);
        assert_eq!(interfaces.seen_whole(News::Gone), News::Dark);
    }

    #[test]
    fn bytes_that_are_no_messages_end_the_reading() {
        let whole = [link(0x1_1043), message(NEW_ROUTE, &[0; 12])].concat();
        for length in 0..whole.len() {
            read(&whole[..length]);
        }
        assert_eq!(read(&[0; 64]), None, "a length of nothing");
        assert_eq!(read(&[0xFF; 64]), None);
        let mut long = message(NEW_ROUTE, &[0; 12]);
        long[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(read(&long), Some(News::Came), "cut off behind its head");
    }
}
