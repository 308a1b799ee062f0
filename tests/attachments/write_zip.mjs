// Writes ZIP files for make_zip.py. Needs node 20 and, for "zipjs", the npm package @zip.js/zip.js in $NODE_MODULES.
//   node write_zip.mjs zipjs OUT PASSWORD aes|zipcrypto     two members by zip.js
//   node write_zip.mjs pkware OUT PASSWORD                  one member with 3DES, from APPNOTE 6.3 section 7
import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { pathToFileURL } from "node:url";

const TEXT = "Minutes of the planning meeting. The chair opened the meeting.\n".repeat(12);
const [, , how, out, password, cipher] = process.argv;

async function withZipJs() {
  const entry = join(process.env.NODE_MODULES, "@zip.js/zip.js/index.js");
  const zip = await import(pathToFileURL(entry).href);
  zip.configure({ useWebWorkers: false });
  const options = cipher === "aes" ? { encryptionStrength: 3 } : { zipCrypto: true };
  const writer = new zip.ZipWriter(new zip.Uint8ArrayWriter(), { password, ...options });
  await writer.add("minutes.txt", new zip.TextReader(TEXT));
  await writer.add("annex.txt", new zip.TextReader(TEXT + TEXT));
  return Buffer.from(await writer.close());
}

// The key derivation of the CryptoAPI, which section 7.2.1 refers to: SHA-1, stretched over two padded digests.
function derive(octets, size) {
  const digest = createHash("sha1").update(octets).digest();
  const stretched = [0x36, 0x5c].map((pad) => {
    const block = Buffer.alloc(64, pad);
    digest.forEach((octet, at) => (block[at] ^= octet));
    return createHash("sha1").update(block).digest();
  });
  return Buffer.concat(stretched).subarray(0, size);
}

function seal(key, iv, data) {
  const machine = createCipheriv("des-ede3-cbc", key, iv.subarray(0, 8));
  return Buffer.concat([machine.update(data), machine.final()]);
}

function u16(...values) {
  const buffer = Buffer.alloc(2 * values.length);
  values.forEach((value, at) => buffer.writeUInt16LE(value, 2 * at));
  return buffer;
}

function u32(...values) {
  const buffer = Buffer.alloc(4 * values.length);
  values.forEach((value, at) => buffer.writeUInt32LE(value >>> 0, 4 * at));
  return buffer;
}

function withPkware() {
  const data = Buffer.from(TEXT);
  const iv = randomBytes(16);
  const random = randomBytes(32);
  const erd = seal(derive(password, 24), iv, random);
  const session = derive(Buffer.concat([iv, random]), 24);
  const check = randomBytes(16);
  const validation = seal(session, iv, Buffer.concat([check, u32(crc32(check))]));
  const rest = Buffer.concat([
    u16(3, 0x6603, 168, 1, erd.length), erd, u32(0), u16(validation.length), validation,
  ]);
  const body = Buffer.concat([u16(16), iv, u32(rest.length), rest, seal(session, iv, deflateRawSync(data))]);
  const name = Buffer.from("minutes.txt");
  const extra = Buffer.concat([u16(0x0017, 8, 2, 0x6603, 168, 1)]);
  const flags = 0x41;
  const common = Buffer.concat([u16(51, flags, 8, 0x6000, 0x5821), u32(crc32(data), body.length, data.length)]);
  const local = Buffer.concat([u32(0x04034b50), common, u16(name.length, 0), name, body]);
  const central = Buffer.concat([
    u32(0x02014b50), u16(51), common, u16(name.length, extra.length, 0, 0, 0), u32(0, 0), name, extra,
  ]);
  return Buffer.concat([local, central, u32(0x06054b50), u16(0, 0, 1, 1), u32(central.length, local.length), u16(0)]);
}

writeFileSync(out, how === "zipjs" ? await withZipJs() : withPkware());
