//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, without channel binding.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use outcrop_env::Rng;
use outcrop_types::{Condition, Error, Result};
use sha2::{Digest, Sha256};

/// Rounds of new verifiers. Clients pay them at each connect.
const ITERATIONS: u32 = 4_096;
/// Most rounds that a verifier may name.
const ITERATIONS_MAX: u32 = 1_000_000;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;
const PREFIX: &str = "SCRAM-SHA-256";

/// What is stored instead of a password, in PostgreSQL's own text form.
///
/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: [u8; 32],
    server_key: [u8; 32],
}

impl Verifier {
    /// A verifier for a password, with a new salt.
    pub fn new(password: &str, rng: &dyn Rng) -> Self {
        let mut salt = vec![0; SALT_BYTES];
        rng.fill(&mut salt);
        Self::derive(password, salt, ITERATIONS)
    }

    fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        // As PostgreSQL: a password that SASLprep refuses counts as it is.
        let prepared = stringprep::saslprep(password).unwrap_or_else(|_unprepared| password.into());
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(prepared.as_bytes(), &salt, iterations, &mut salted);
        let stored_key = Sha256::digest(hmac(&salted, b"Client Key")).into();
        Self { iterations, salt, stored_key, server_key: hmac(&salted, b"Server Key") }
    }

    /// A verifier that nobody's password meets, the same each time for a name: who asks learns nothing of who exists.
    fn of_stranger(name: &str, secret: &[u8; 32]) -> Self {
        let mut salt = hmac(secret, name.as_bytes()).to_vec();
        salt.truncate(SALT_BYTES);
        Self { iterations: ITERATIONS, salt, stored_key: [0; 32], server_key: [0; 32] }
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [self.salt.as_slice(), &self.stored_key, &self.server_key].map(|bytes| BASE64.encode(bytes));
        write!(f, "{PREFIX}${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// Shows nothing of the keys.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl FromStr for Verifier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse_verifier(text).ok_or_else(|| {
            Error::new(Condition::InvalidParameterValue, "a verifier is not of the form of SCRAM-SHA-256")
                .with_hint("Make verifiers with `outcrop user add`.")
        })
    }
}

fn parse_verifier(text: &str) -> Option<Verifier> {
    let mut parts = text.split('$');
    if parts.next()? != PREFIX {
        return None;
    }
    let (iterations, salt) = parts.next()?.split_once(':')?;
    let (stored_key, server_key) = parts.next()?.split_once(':')?;
    let iterations = iterations.parse().ok().filter(|rounds| (1..=ITERATIONS_MAX).contains(rounds))?;
    let key = |text: &str| <[u8; 32]>::try_from(BASE64.decode(text).ok()?).ok();
    parts.next().is_none().then_some(Verifier {
        iterations,
        salt: BASE64.decode(salt).ok()?,
        stored_key: key(stored_key)?,
        server_key: key(server_key)?,
    })
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScramFailure {
    /// A message is not SCRAM, or asks for what we do not have.
    Malformed(&'static str),
    /// The password is wrong, or there is no such user.
    Refused,
}

/// One exchange: client-first ─▶ server-first ─▶ client-final ─▶ server-final.
#[derive(Debug)]
pub(crate) struct ScramServer {
    verifier: Verifier,
    is_known: bool,
    nonce: String,
    gs2_header: String,
    client_first_bare: String,
    server_first: String,
}

impl ScramServer {
    /// Takes the client's first message. `verifier` is `None` for users that do not exist.
    pub(crate) fn begin(
        verifier: Option<Verifier>,
        name: &str,
        secret: &[u8; 32],
        client_first: &[u8],
        rng: &dyn Rng,
    ) -> Result<Self, ScramFailure> {
        let text = std::str::from_utf8(client_first).map_err(|_not_utf8| ScramFailure::Malformed("it is not UTF-8"))?;
        let (flag, rest) = text.split_once(',').ok_or(ScramFailure::Malformed("it has no header"))?;
        let (authzid, bare) = rest.split_once(',').ok_or(ScramFailure::Malformed("it has no header"))?;
        match flag {
            "n" | "y" => {}
            _ => return Err(ScramFailure::Malformed("channel binding was not offered")),
        }
        if !authzid.is_empty() {
            return Err(ScramFailure::Malformed("it asks for another identity"));
        }
        let mut attributes = bare.split(',');
        let has_name = attributes.next().is_some_and(|name| name.starts_with("n="));
        let client_nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")).unwrap_or_default();
        if !has_name || client_nonce.is_empty() || !client_nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ScramFailure::Malformed("it has no name or nonce"));
        }
        let mut random = [0; NONCE_BYTES];
        rng.fill(&mut random);
        let nonce = format!("{client_nonce}{}", BASE64.encode(random));
        let is_known = verifier.is_some();
        let verifier = verifier.unwrap_or_else(|| Verifier::of_stranger(name, secret));
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        Ok(Self {
            verifier,
            is_known,
            nonce,
            gs2_header: format!("{flag},,"),
            client_first_bare: bare.to_owned(),
            server_first,
        })
    }

    /// What to answer to the first message.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Takes the client's last message; the answer proves to the client that we know its verifier.
    pub(crate) fn finish(self, client_final: &[u8]) -> Result<String, ScramFailure> {
        let text = std::str::from_utf8(client_final).map_err(|_not_utf8| ScramFailure::Malformed("it is not UTF-8"))?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramFailure::Malformed("it has no proof"))?;
        let proof = BASE64.decode(proof).ok().and_then(|proof| <[u8; 32]>::try_from(proof).ok());
        let proof = proof.ok_or(ScramFailure::Malformed("its proof is not 32 bytes"))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|binding| binding.strip_prefix("c="));
        if binding.and_then(|binding| BASE64.decode(binding).ok()).as_deref() != Some(self.gs2_header.as_bytes()) {
            return Err(ScramFailure::Malformed("its channel binding is another one than at first"));
        }
        if attributes.next().and_then(|nonce| nonce.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(ScramFailure::Malformed("its nonce is another one than ours"));
        }
        let auth_message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = hmac(&self.verifier.stored_key, auth_message.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(key, byte)| *key ^= byte);
        let is_right = is_equal(&Sha256::digest(client_key), &self.verifier.stored_key);
        if !is_right || !self.is_known {
            return Err(ScramFailure::Refused);
        }
        Ok(format!("v={}", BASE64.encode(hmac(&self.verifier.server_key, auth_message.as_bytes()))))
    }
}

/// Compares without telling by its time where the difference is.
pub(super) fn is_equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // HMAC pads a key to its block of 64 bytes; a key of 32 bytes always fits.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block).chain_update(message).finalize().into_bytes().into()
}
