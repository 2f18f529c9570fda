//! A question to a DNS server, of which any answer counts.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use reachability::dns::{is_answer, query};
use types::packets::Outcome;

use super::place::Place;
use super::{WAIT, echo, outcome, receive_until};

/// Asks the server at `target` for `name`.
#[must_use]
pub(crate) fn ask(from: &Place, source: Option<IpAddr>, target: SocketAddr, name: &str) -> Outcome {
    let open = || {
        let bind_address = source
            .map_or_else(|| echo::unspecified_address(target.ip()), |source| SocketAddr::new(source, 0));
        let socket = UdpSocket::bind(bind_address)?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(WAIT))?;
        Ok(socket)
    };
    match from.run_inside(open).and_then(|socket| await_answer(&socket, name)) {
        Ok(()) => Outcome::Passed,
        Err(error) => outcome(&error),
    }
}

fn await_answer(socket: &UdpSocket, name: &str) -> io::Result<()> {
    let [first, second, ..] = echo::nonce();
    let id = [first, second];
    socket.send(&query(id, name))?;
    receive_until(socket, |message| is_answer(id, message)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_and_one_that_is_not_there() {
        let server = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let target = server.local_addr().expect("its address");
        let client = std::thread::spawn(move || {
            ask(&Place::Node, None, target, "kubernetes.default.svc.cluster.local.")
        });
        let mut query = [0; 512];
        let (length, from) = server.recv_from(&mut query).expect("a query");
        // The bit that makes it an answer.
        query[2] |= 0x80;
        server.send_to(&query[..length], from).expect("an answer");
        assert_eq!(client.join().expect("an outcome"), Outcome::Passed);
        drop(server);
        assert_eq!(ask(&Place::Node, None, target, "x."), Outcome::Refused);
    }
}
