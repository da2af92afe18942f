package httpapi

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"
)

// maxSchema is how deep a described type may nest; what is deeper is any value.
const maxSchema = 8

// OpenAPI describes the routes of services as an OpenAPI 3.1 document, from the types that their handlers
// read and write. Raw handlers are described by their path alone. Version is the server's.
func OpenAPI(version string, services []Service) map[string]any {
	paths := map[string]any{}
	for _, s := range services {
		for _, rt := range s.Routes {
			if rt.Method == "*" {
				continue
			}
			item, ok := paths[rt.Path].(map[string]any)
			if !ok {
				item = map[string]any{}
				paths[rt.Path] = item
			}
			item[strings.ToLower(rt.Method)] = operation(s.Name, rt)
		}
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "Tolkflip", "version": version},
		"paths":   paths,
		"components": map[string]any{
			"schemas": map[string]any{"Problem": schema(reflect.TypeFor[Problem](), 0)},
			"securitySchemes": map[string]any{
				"bearer":   map[string]any{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
				"internal": map[string]any{"type": "apiKey", "in": "header", "name": "X-Internal-Key"},
			},
		},
	}
}

func operation(service string, rt Route) map[string]any {
	status := "default"
	if rt.Handle.status > 0 {
		status = strconv.Itoa(rt.Handle.status)
	}
	good := map[string]any{"description": "Done"}
	if out := rt.Handle.out; out != nil {
		good["content"] = jsonContent(schema(out, 0))
	}
	responses := map[string]any{
		"4XX": map[string]any{
			"description": "Refused",
			"content":     jsonContent(map[string]any{"$ref": "#/components/schemas/Problem"}),
		},
	}
	responses[status] = good
	op := map[string]any{
		"tags":        []string{service},
		"operationId": operationID(rt),
		"responses":   responses,
	}
	switch rt.Auth {
	case Bearer:
		op["security"] = []any{map[string]any{"bearer": []string{}}}
	case Optional:
		op["security"] = []any{map[string]any{}, map[string]any{"bearer": []string{}}}
	case Internal:
		op["security"] = []any{map[string]any{"internal": []string{}}}
	case Public:
	}
	describeInput(op, rt)
	return op
}

// operationID is the method and the path in words that generators of clients take.
func operationID(rt Route) string {
	words := strings.FieldsFunc(rt.Path, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	})
	return strings.ToLower(rt.Method) + "_" + strings.Join(words, "_")
}

// describeInput adds parameters and body.
func describeInput(op map[string]any, rt Route) {
	_, names := positional(rt.Path)
	types := map[string]reflect.Type{}
	params := []any{}
	body := false
	if in := rt.Handle.in; in != nil {
		for _, f := range reflect.VisibleFields(in) {
			if name, ok := f.Tag.Lookup("path"); ok {
				types[name] = f.Type
			} else if name, ok := f.Tag.Lookup("query"); ok {
				params = append(params, map[string]any{"name": name, "in": "query", "schema": schema(f.Type, 0)})
			}
			body = body || jsonName(f) != ""
		}
	}
	for _, name := range names {
		t, ok := types[name]
		if !ok {
			t = reflect.TypeFor[string]()
		}
		params = append(params, map[string]any{"name": name, "in": "path", "required": true, "schema": schema(t, 0)})
	}
	if len(params) > 0 {
		op["parameters"] = params
	}
	if body && rt.Method != "GET" {
		op["requestBody"] = map[string]any{"content": jsonContent(schema(rt.Handle.in, 0))}
	}
}

func jsonContent(s any) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": s}}
}

// schema describes how a type reads in JSON.
func schema(t reflect.Type, depth int) map[string]any {
	if depth > maxSchema || t == reflect.TypeFor[Value]() {
		return map[string]any{}
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return map[string]any{"type": "string", "format": "uuid"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem(), depth)
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Slice, reflect.Array:
		return map[string]any{"type": "array", "items": schema(t.Elem(), depth+1)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(t.Elem(), depth+1)}
	case reflect.Struct:
		properties := map[string]any{}
		for _, f := range reflect.VisibleFields(t) {
			if name := jsonName(f); name != "" {
				properties[name] = schema(f.Type, depth+1)
			}
		}
		return map[string]any{"type": "object", "properties": properties}
	default:
		return map[string]any{}
	}
}
