//! The exchange that proves who a client is.

use bytes::Bytes;
use outcrop_env::Env;
use outcrop_types::{Condition, Error};
use outcrop_wire::{FrameReader, Incoming};
use pgwire::messages::startup::Authentication as Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::outbox::Outbox;
use crate::auth::{Authentication, ScramFailure, ScramServer};

const MECHANISM: &str = "SCRAM-SHA-256";
/// Longest message of the exchange.
const MESSAGE_BYTES_MAX: usize = 10_000;

/// Lets a client in, or not.
///
/// # Errors
/// `InvalidPassword` for a wrong password and for an unknown user alike, `ProtocolViolation`.
pub(super) async fn authenticate<R, W>(
    authentication: &Authentication,
    user: &str,
    env: &Env,
    reader: &mut FrameReader<R>,
    outbox: &mut Outbox<W>,
) -> Result<(), Stop>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if let Authentication::Users(users) = authentication {
        outbox.put(&Message::SASL(vec![MECHANISM.to_owned()]))?;
        outbox.flush().await?;
        let first = password_message(reader).await?;
        let first = initial_response(&first).ok_or_else(|| fatal("invalid SASL initial response"))?;
        let verifier = users.verifier(user);
        let exchange = ScramServer::begin(verifier, user, &users.stranger_secret(), first, env.rng.as_ref())
            .map_err(|f| refuse(user, f))?;
        outbox.put(&Message::SASLContinue(Bytes::copy_from_slice(exchange.server_first().as_bytes())))?;
        outbox.flush().await?;
        let last = password_message(reader).await?;
        let proof = exchange.finish(&last).map_err(|failure| refuse(user, failure))?;
        outbox.put(&Message::SASLFinal(Bytes::from(proof)))?;
    }
    outbox.put(&Message::Ok)?;
    Ok(())
}

async fn password_message<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>) -> Result<Bytes, Stop> {
    match reader.next(MESSAGE_BYTES_MAX).await.map_err(Stop::Fatal)? {
        Incoming::Message(frame) if frame.kind == b'p' => Ok(frame.body),
        Incoming::Message(frame) => Err(fatal(&format!("expected SASL response, got message type {}", frame.kind))),
        Incoming::Closed => Err(Stop::Closed),
    }
}

/// The data of a SASLInitialResponse for our mechanism.
fn initial_response(body: &[u8]) -> Option<&[u8]> {
    let rest = body.strip_prefix(MECHANISM.as_bytes())?.strip_prefix(&[0])?;
    let (length, data) = rest.split_first_chunk()?;
    (usize::try_from(i32::from_be_bytes(*length)).ok()? == data.len()).then_some(data)
}

fn refuse(user: &str, failure: ScramFailure) -> Stop {
    match failure {
        ScramFailure::Refused => Stop::Fatal(Error::new(
            Condition::InvalidPassword,
            format!("password authentication failed for user \"{user}\""),
        )),
        ScramFailure::Malformed(why) => Stop::Fatal(
            Error::new(Condition::ProtocolViolation, "malformed SCRAM message")
                .with_detail(format!("Of the message: {why}.")),
        ),
    }
}

fn fatal(message: &str) -> Stop {
    Stop::Fatal(Error::new(Condition::ProtocolViolation, message))
}
