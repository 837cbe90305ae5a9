package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"reflect"
)

// formValue is one value of a form to send: a text, or a file.
type formValue struct {
	name string
	text string
	file *File
}

func (p *paramValues) addFiles(q *param, v reflect.Value) {
	if q.file == oneFile {
		p.form = append(p.form, formValue{name: q.name, file: v.Interface().(*File)})
		return
	}
	for _, f := range v.Interface().([]*File) {
		if f != nil {
			p.form = append(p.form, formValue{name: q.name, file: f})
		}
	}
}

// writeForm encodes a form: as a multipart form where it may hold files.
func (p *plan) writeForm(values *paramValues) (content, error) {
	if p.files {
		return writeMultipart(values.form)
	}
	form := url.Values{}
	for _, v := range values.form {
		form.Add(v.name, v.text)
	}
	return content{from: bytes.NewReader([]byte(form.Encode())), media: mediaForm}, nil
}

// section is a piece of a multipart body: bytes, then a file, nil for none.
type section struct {
	head []byte
	file *File
}

// writeMultipart returns a body that reads each file when its turn has come, and can be read again from the beginning.
// No goroutine writes it.
func writeMultipart(values []formValue) (content, error) {
	var buf bytes.Buffer
	var sections []section
	w := multipart.NewWriter(&buf)
	for _, v := range values {
		part, err := w.CreatePart(partHeader(v))
		if err != nil {
			return content{}, err
		}
		if v.file == nil {
			if _, err := io.WriteString(part, v.text); err != nil {
				return content{}, err
			}
			continue
		}
		if v.file.Open == nil {
			return content{}, fmt.Errorf("file %q has no Open", v.name)
		}
		sections = append(sections, section{bytes.Clone(buf.Bytes()), v.file})
		buf.Reset()
	}
	if err := w.Close(); err != nil {
		return content{}, err
	}
	sections = append(sections, section{head: buf.Bytes()})
	open := func() (io.ReadCloser, error) { return &sectionReader{left: sections}, nil }
	first, err := open()
	return content{from: first, media: w.FormDataContentType(), again: open}, err
}

func partHeader(v formValue) textproto.MIMEHeader {
	params := map[string]string{"name": v.name}
	h := textproto.MIMEHeader{}
	if v.file != nil {
		params["filename"] = v.file.Name
		h.Set("Content-Type", "application/octet-stream")
		if v.file.ContentType != "" {
			h.Set("Content-Type", v.file.ContentType)
		}
	}
	h.Set("Content-Disposition", mime.FormatMediaType("form-data", params))
	return h
}

// sectionReader reads sections one after the other.
type sectionReader struct {
	left []section
	pos  int           // in the head of the first
	file io.ReadCloser // the first's, once it is open
}

func (r *sectionReader) Read(p []byte) (int, error) {
	for len(r.left) > 0 {
		s := r.left[0]
		if r.pos < len(s.head) {
			n := copy(p, s.head[r.pos:])
			r.pos += n
			return n, nil
		}
		if s.file != nil {
			n, err := r.readFile(s.file, p)
			if n > 0 || err != io.EOF { //nolint:errorlint // io.Reader's own contract
				return n, err
			}
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

func (r *sectionReader) readFile(f *File, p []byte) (int, error) {
	if r.file == nil {
		var err error
		if r.file, err = f.Open(); err != nil {
			return 0, fmt.Errorf("open file %q: %w", f.Name, err)
		}
	}
	n, err := r.file.Read(p)
	if n > 0 && err == io.EOF {
		err = nil // it comes again
	}
	return n, err
}

func (r *sectionReader) next() error {
	err := r.Close()
	r.left, r.pos = r.left[1:], 0
	return err
}

// Close closes the file that is open.
func (r *sectionReader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
