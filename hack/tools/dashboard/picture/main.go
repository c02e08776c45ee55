// Picture draws the dashboard from series that a test recorded: `picture DASHBOARD SERIES PICTURE`.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/color"
	"log"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// unit is the width and height of a step of Grafana's grid, which has 24 columns.
const (
	unitWidth  = 50
	unitHeight = 30
	columns    = 24
	gap        = 5
)

// panel is one of the dashboard, as far as it is drawn.
type panel struct {
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H float64 }
	Targets []struct{}

	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Steps []struct {
					Color string
					Value *float64
				}
			}
			Custom struct{ Stacking struct{ Mode string } }
		}
	}
}

// query is what was recorded of a query of a panel.
type query struct {
	Panel  string `json:"panel"`
	Legend string `json:"legendFormat"`
	Series []struct {
		Metric map[string]string `json:"metric"`
		Values [][2]any          `json:"values"`
	}
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: picture DASHBOARD SERIES PICTURE")
	}
	var dashboard struct{ Panels []panel }
	var queries []query
	read(os.Args[1], &dashboard)
	read(os.Args[2], &queries)
	height := 0.
	for _, panel := range dashboard.Panels {
		height = max(height, panel.GridPos.Y+panel.GridPos.H)
	}
	canvas := vgimg.NewWith(vgimg.UseWH(columns*unitWidth, vg.Length(height*unitHeight)), vgimg.UseDPI(110), vgimg.UseBackgroundColor(grey(0xf4)))
	began, ended := times(queries)
	for _, panel := range dashboard.Panels {
		at := panel.GridPos
		area := draw.Crop(draw.New(canvas), vg.Length(at.X*unitWidth)+gap, -vg.Length((columns-at.X-at.W)*unitWidth)-gap,
			vg.Length((height-at.Y-at.H)*unitHeight)+gap, -vg.Length(at.Y*unitHeight)-gap)
		area.SetColor(color.White)
		area.Fill(area.Rectangle.Path())
		of := slices.DeleteFunc(slices.Clone(queries), func(q query) bool {
			return q.Panel[:max(len(q.Panel)-2, 0)] != panel.Type+" "+panel.Title
		})
		if len(of) != len(panel.Targets) {
			log.Fatalf("of %q there are %d of %d queries", panel.Title, len(of), len(panel.Targets))
		}
		if panel.Type == "stat" {
			panel.number(area, of[0])
		} else {
			panel.graph(area, of, began, ended)
		}
	}
	var drawn bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&drawn); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[3], drawn.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}

func read(file string, into any) {
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func grey(value uint8) color.Color { return color.RGBA{value, value, value, 0xff} }

func style(size vg.Length, bold bool, shade color.Color, x draw.XAlignment, y draw.YAlignment) draw.TextStyle {
	face := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		face.Weight = 2
	}
	return draw.TextStyle{Color: shade, Font: face, Handler: plot.DefaultTextHandler, XAlign: x, YAlign: y}
}

// number draws the last value of a panel with one.
func (p panel) number(area draw.Canvas, of query) {
	shade := color.RGBA{0x37, 0x87, 0x2d, 0xff}
	last := math.NaN()
	if len(of.Series) > 0 {
		points := pointsOf(of.Series[0].Values, 0)
		last = points[len(points)-1].Y
	}
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value != nil && last >= *step.Value && step.Color == "red" {
			shade = color.RGBA{0xc4, 0x16, 0x2a, 0xff}
		}
	}
	area.FillText(style(11, false, grey(0x24), draw.XLeft, draw.YTop), vg.Point{X: area.Min.X + 8, Y: area.Max.Y - 6}, p.Title)
	area.FillText(style(30, true, shade, draw.XCenter, draw.YCenter), vg.Point{X: (area.Min.X + area.Max.X) / 2, Y: area.Min.Y + (area.Max.Y-area.Min.Y)*0.4}, p.format(last))
}

// graph draws lines over time.
func (p panel) graph(area draw.Canvas, of []query, began, ended float64) {
	drawn := plot.New()
	drawn.Title.Text, drawn.Title.Padding = p.Title, 4
	drawn.Title.TextStyle = style(11, false, grey(0x24), draw.XCenter, draw.YTop)
	drawn.X.Min, drawn.X.Max, drawn.Y.Min = 0, ended-began, 0
	drawn.X.Tick.Label = style(8, false, grey(0x55), draw.XCenter, draw.YTop)
	drawn.Y.Tick.Label = style(8, false, grey(0x55), draw.XRight, draw.YCenter)
	drawn.X.Tick.Marker, drawn.Y.Tick.Marker = plot.TickerFunc(seconds), plot.TickerFunc(p.ticks)
	drawn.Legend.TextStyle, drawn.Legend.Top, drawn.Legend.Left = style(8, false, grey(0x24), draw.XLeft, draw.YTop), true, true
	drawn.Legend.ThumbnailWidth, drawn.Legend.XOffs, drawn.Legend.YOffs = 10, 4, -2
	drawn.Add(plotter.NewGrid())
	stacked, highest := map[float64]float64{}, 0.
	index, named := 0, 0
	for _, query := range of {
		for _, series := range query.Series {
			points := pointsOf(series.Values, began)
			notable := slices.ContainsFunc(points, func(point plotter.XY) bool { return point.Y != 0 })
			if p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal" {
				for i := range points {
					stacked[points[i].X] += points[i].Y
					points[i].Y = stacked[points[i].X]
				}
			}
			for _, point := range points {
				highest = max(highest, point.Y)
			}
			line, err := plotter.NewLine(points)
			if err != nil {
				log.Fatal(err)
			}
			line.Color, line.Width = palette[index%len(palette)], 1.2
			index++
			drawn.Add(line)
			// What is 0 all the time needs no name.
			if notable {
				drawn.Legend.Add(legend(query.Legend, series.Metric), line)
				named++
			}
		}
	}
	// The names stand above the lines.
	drawn.Y.Max = max(highest, 1) * (1.1 + 0.1*float64(named))
	drawn.Draw(draw.Crop(area, 6, -10, 4, -4))
}

// palette are colours that can be told apart.
var palette = []color.Color{
	color.RGBA{0x1f, 0x78, 0xb4, 0xff}, color.RGBA{0xe3, 0x1a, 0x1c, 0xff}, color.RGBA{0x33, 0xa0, 0x2c, 0xff}, color.RGBA{0xff, 0x7f, 0x00, 0xff},
	color.RGBA{0x6a, 0x3d, 0x9a, 0xff}, color.RGBA{0xb1, 0x59, 0x28, 0xff}, color.RGBA{0x17, 0xbe, 0xcf, 0xff}, color.RGBA{0xe3, 0x77, 0xc2, 0xff},
	color.RGBA{0x7f, 0x7f, 0x7f, 0xff}, color.RGBA{0xbc, 0xbd, 0x22, 0xff},
}

// pointsOf are the values of a series, with the seconds since a time.
func pointsOf(values [][2]any, since float64) plotter.XYs {
	var points plotter.XYs
	for _, value := range values {
		y, err := strconv.ParseFloat(value[1].(string), 64)
		if err == nil && !math.IsNaN(y) {
			points = append(points, plotter.XY{X: value[0].(float64) - since, Y: y})
		}
	}
	return points
}

// times are the first and the last that were recorded.
func times(queries []query) (began, ended float64) {
	began = math.Inf(1)
	for _, query := range queries {
		for _, series := range query.Series {
			for _, value := range series.Values {
				began, ended = min(began, value[0].(float64)), max(ended, value[0].(float64))
			}
		}
	}
	return began, ended
}

// legend puts the labels of a series into what Grafana would show as its name.
func legend(format string, labels map[string]string) string {
	for name, value := range labels {
		format = strings.ReplaceAll(format, "{{"+name+"}}", value)
	}
	return format
}

// format writes a value in the unit of the panel.
func (p panel) format(value float64) string {
	switch seconds := p.FieldConfig.Defaults.Unit == "s"; {
	case seconds && value >= 3600:
		return fmt.Sprintf("%.1f h", value/3600)
	case seconds && value > 0 && value < 1:
		return fmt.Sprintf("%.0f ms", value*1000)
	case seconds:
		return fmt.Sprintf("%.0f s", value)
	default:
		return strconv.FormatFloat(value, 'g', 3, 64)
	}
}

// ticks are at round values, in the unit of the panel.
func (p panel) ticks(low, high float64) []plot.Tick {
	found := plot.DefaultTicks{}.Ticks(low, high)
	for i := range found {
		if found[i].Label != "" {
			found[i].Label = p.format(found[i].Value)
		}
	}
	return found
}

// seconds are ticks of the time since the beginning.
func seconds(low, high float64) (found []plot.Tick) {
	for at := low; at <= high; at += 10 {
		found = append(found, plot.Tick{Value: at, Label: strconv.Itoa(int(at)) + " s"})
	}
	return found
}
