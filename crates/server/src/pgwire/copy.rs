//! COPY over the wire: CopyData in both directions, as fast as the other side takes it.

use futures::StreamExt as _;
use outcrop_ingest::copy::{CopyDecoder, CopyEncoder, Header, Layout, Style};
use outcrop_query::{CopyFormat, CopyHeader, CopyIn, CopyOptions, CopyOut};
use outcrop_types::{Condition, Error, Result};
use outcrop_wire::{Frontend, Incoming};
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};

use super::connection::{Connection, Stop, watched};
use super::fields::notice_response;
use super::wire_type::cells;

impl Connection {
    /// Takes the rows of `COPY … FROM STDIN`. While the engine takes some, the next ones are decoded, and no more.
    pub(super) async fn copy_in(&mut self, mut copy: CopyIn) -> Result<(), Stop> {
        let settings = self.text_settings();
        let layout = layout(copy.options());
        let mut decoder = CopyDecoder::new(copy.table(), copy.columns(), layout, settings);
        let (format, count, formats) = formats(copy.options(), copy.columns().len())?;
        self.outbox.put(&CopyInResponse::new(format, count, formats))?;
        self.outbox.flush().await?;
        let body_max = self.services.limits.message_bytes_max;
        loop {
            let incoming = tokio::select! {
                biased;
                error = copy.cancelled() => return Err(error.into()),
                incoming = self.reader.next(body_max) => incoming.map_err(Stop::Fatal)?,
            };
            let Incoming::Message(frame) = incoming else { return Err(Stop::Closed) };
            match Frontend::parse(&frame)? {
                Frontend::CopyData(data) => decoder.push(&data),
                Frontend::CopyDone => break,
                Frontend::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(Error::new(Condition::QueryCanceled, message).into());
                }
                // As PostgreSQL: clients may send these by habit.
                Frontend::Flush | Frontend::Sync => {}
                Frontend::Terminate => return Err(Stop::Closed),
                Frontend::Bind(_)
                | Frontend::Close(_)
                | Frontend::Describe(_)
                | Frontend::Execute { .. }
                | Frontend::Parse { .. }
                | Frontend::Query(_) => {
                    let message = format!("unexpected message type 0x{:02X} during COPY from stdin", frame.kind);
                    return Err(Stop::Fatal(Error::new(Condition::ProtocolViolation, message)));
                }
            }
            loop {
                match decoder.next_batch() {
                    Ok(Some(batch)) => Box::pin(watched(&mut self.reader, copy.push(batch))).await??,
                    Ok(None) => break,
                    Err(error) => {
                        Box::pin(watched(&mut self.reader, copy.settle())).await??;
                        return Err(error.into());
                    }
                }
            }
        }
        if let Some(batch) = decoder.finish()? {
            Box::pin(watched(&mut self.reader, copy.push(batch))).await??;
        }
        let (tag, notices) = Box::pin(watched(&mut self.reader, copy.finish())).await??;
        for notice in &notices {
            self.outbox.put(&notice_response(notice))?;
        }
        self.complete(tag.to_string())
    }

    /// Sends the rows of `COPY … TO STDOUT`, one message for each.
    pub(super) async fn copy_out(&mut self, mut copy: CopyOut) -> Result<(), Stop> {
        let (format, count, formats) = formats(&copy.options, copy.rows.columns().len())?;
        self.outbox.put(&CopyOutResponse::new(format, count, formats))?;
        let settings = self.text_settings();
        let mut encoder = CopyEncoder::new(layout(&copy.options), settings);
        let mut around = Vec::new();
        encoder.write_header(copy.rows.columns().iter().map(|column| column.name.as_str()), &mut around);
        if copy.options.format != CopyFormat::Binary {
            self.copy_around(&mut around);
        }
        while let Some(batch) = watched(&mut self.reader, copy.rows.next()).await? {
            let batch = batch?;
            let columns = batch.columns().iter().zip(copy.rows.columns());
            let columns = columns.map(|(array, column)| cells(array.as_ref(), column)).collect::<Result<Vec<_>>>()?;
            for row in 0..batch.num_rows() {
                self.outbox.put_raw(b'd', |out| {
                    // As PostgreSQL, on which clients rely: the header of the binary format comes with the first row.
                    out.append(&mut around);
                    encoder.write_row(&columns, row, out);
                });
                self.outbox.relieve().await?;
            }
        }
        encoder.write_end(&mut around);
        self.copy_around(&mut around);
        self.outbox.put(&CopyDone::new())?;
        self.complete(copy.rows.tag().to_string())
    }

    /// Sends what stands before or behind the rows, if there is something.
    fn copy_around(&mut self, bytes: &mut Vec<u8>) {
        if !bytes.is_empty() {
            self.outbox.put_raw(b'd', |out| out.append(bytes));
        }
    }
}

/// The layout that the statement asked for, in the words of the codec.
fn layout(options: &CopyOptions) -> Layout {
    Layout {
        style: match options.format {
            CopyFormat::Text => Style::Text,
            CopyFormat::Csv => Style::Csv,
            CopyFormat::Binary => Style::Binary,
        },
        delimiter: options.delimiter,
        null: options.null.clone(),
        header: match options.header {
            CopyHeader::Absent => Header::Absent,
            CopyHeader::Present => Header::Present,
            CopyHeader::Match => Header::Match,
        },
        quote: options.quote,
        escape: options.escape,
        force_quote: options.force_quote.clone(),
        force_not_null: options.force_not_null.clone(),
        force_null: options.force_null.clone(),
    }
}

/// The format of the whole and of each column, as a COPY response names them.
fn formats(options: &CopyOptions, columns: usize) -> Result<(i8, i16, Vec<i16>)> {
    let count = i16::try_from(columns)
        .map_err(|_too_many| Error::new(Condition::TooManyColumns, "a COPY has too many columns"))?;
    let (whole, column) = match options.format {
        CopyFormat::Text | CopyFormat::Csv => (0, 0),
        CopyFormat::Binary => (1, 1),
    };
    Ok((whole, count, vec![column; columns]))
}
