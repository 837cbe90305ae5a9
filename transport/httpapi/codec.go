package httpapi

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
)

// codec turns a parameter's text into a value and back.
type codec struct {
	// set parses s into v, which is settable. Its error is sent to the caller.
	set func(v reflect.Value, s string) error
	// text formats v. It reports false where v is absent: a nil pointer.
	text func(v reflect.Value) (s string, present bool, err error)
}

var (
	errBool  = errors.New("must be true or false")
	errInt   = errors.New("must be an integer")
	errUint  = errors.New("must be an integer of 0 or more")
	errFloat = errors.New("must be a number")
)

// isText reports whether t writes and reads itself as text.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) &&
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

func newCodec(t reflect.Type) (codec, error) {
	if t.Kind() == reflect.Pointer {
		inner, err := newCodec(t.Elem())
		return pointerCodec(t.Elem(), inner), err
	}
	if isText(t) {
		return codec{setText, textText}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return codec{setString, textString}, nil
	case reflect.Bool:
		return codec{setBool, func(v reflect.Value) (string, bool, error) {
			return strconv.FormatBool(v.Bool()), true, nil
		}}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return codec{setInt, func(v reflect.Value) (string, bool, error) {
			return strconv.FormatInt(v.Int(), 10), true, nil
		}}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return codec{setUint, func(v reflect.Value) (string, bool, error) {
			return strconv.FormatUint(v.Uint(), 10), true, nil
		}}, nil
	case reflect.Float32, reflect.Float64:
		return codec{setFloat, func(v reflect.Value) (string, bool, error) {
			return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()), true, nil
		}}, nil
	}
	return codec{}, fmt.Errorf("no parameter can be a %v", t)
}

func pointerCodec(elem reflect.Type, inner codec) codec {
	return codec{
		set: func(v reflect.Value, s string) error {
			p := reflect.New(elem)
			if err := inner.set(p.Elem(), s); err != nil {
				return err
			}
			v.Set(p)
			return nil
		},
		text: func(v reflect.Value) (string, bool, error) {
			if v.IsNil() {
				return "", false, nil
			}
			return inner.text(v.Elem())
		},
	}
}

func setString(v reflect.Value, s string) error {
	v.SetString(s)
	return nil
}

func textString(v reflect.Value) (string, bool, error) { return v.String(), true, nil }

func setBool(v reflect.Value, s string) error {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return errBool
	}
	v.SetBool(b)
	return nil
}

func setInt(v reflect.Value, s string) error {
	n, err := strconv.ParseInt(s, 10, v.Type().Bits())
	if err != nil {
		return numberError(err, v.Type(), errInt)
	}
	v.SetInt(n)
	return nil
}

func setUint(v reflect.Value, s string) error {
	n, err := strconv.ParseUint(s, 10, v.Type().Bits())
	if err != nil {
		return numberError(err, v.Type(), errUint)
	}
	v.SetUint(n)
	return nil
}

func setFloat(v reflect.Value, s string) error {
	n, err := strconv.ParseFloat(s, v.Type().Bits())
	if err != nil {
		return numberError(err, v.Type(), errFloat)
	}
	if n-n != 0 {
		return errFloat // JSON has no infinity and no NaN, and neither is in any range
	}
	v.SetFloat(n)
	return nil
}

func numberError(err error, t reflect.Type, syntax error) error {
	if errors.Is(err, strconv.ErrRange) {
		return errors.New("must be " + inWords(t))
	}
	return syntax
}

// setText says nothing of the type's own error, which may tell more than the caller should know.
func setText(v reflect.Value, s string) error {
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		return errors.New("is malformed")
	}
	return nil
}

func textText(v reflect.Value) (string, bool, error) {
	m, ok := v.Interface().(encoding.TextMarshaler)
	if !ok {
		// The method has a pointer receiver, and v may not be addressable.
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		m = p.Interface().(encoding.TextMarshaler)
	}
	b, err := m.MarshalText()
	return string(b), true, err
}
