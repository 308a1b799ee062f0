"""Scripts for Node.js that write encrypted PDFs for make_pdf.py: argv is input, output, kind, password."""

from __future__ import annotations

NODE = "node"

PDFKIT = r"""
const [, source, target, kind, password] = process.argv;
const PDFDocument = require("pdfkit");
const fs = require("fs");
const versions = { "rc4-40": "1.3", "rc4-128": "1.4", aesv2: "1.6", r5: "1.7ext3" };
const page = new PDFDocument({ userPassword: password, ownerPassword: "owner-1", pdfVersion: versions[kind] });
page.pipe(fs.createWriteStream(target));
page.text("The quick brown fox jumps over the lazy dog.");
page.end();
"""

PDF_LIB = r"""
const [, source, target, kind, password] = process.argv;
const { PDFDocument } = require("@cantoo/pdf-lib");
const fs = require("fs");
(async () => {
  const page = await PDFDocument.load(fs.readFileSync(source));
  page.encrypt({ userPassword: password, ownerPassword: "owner-1", algorithm: kind });
  fs.writeFileSync(target, await page.save());
})();
"""

MUHAMMARA = r"""
const [, source, target, kind, password] = process.argv;
const passwords = { userPassword: password, ownerPassword: "owner-1", userProtectionFlag: 4 };
require("muhammara").recrypt(source, target, passwords);
"""
