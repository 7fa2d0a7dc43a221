/*
 * Draws a dashboard with Grafana's own components, from its JSON and the answers of a Prometheus.
 *
 * What Grafana's server and application do around the components is done here: answers become frames, values of
 * variables go into titles, links and texts, and transformations and the configuration of fields are applied (by
 * @grafana/data). What a panel asks for and this does not know is a complaint, not ignored.
 */
import "./view.css";

import {
	applyFieldOverrides, cacheFieldDisplayNames, createTheme, dataLinksOverrideProcessor, dateTime,
	displayNameOverrideProcessor, FieldConfigOptionsRegistry, FieldType, getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues,
	getFieldDisplayValuesProxy,
	identityOverrideProcessor, locationUtil, numberOverrideProcessor, renderMarkdown, standardTransformers,
	standardTransformersRegistry, ThemeContext, thresholdsOverrideProcessor, transformDataFrame,
	unitOverrideProcessor, valueMappingsOverrideProcessor,
} from "@grafana/data";
import { BarGauge, BigValue, GlobalStyles, PanelChrome, TimeSeries, VizRepeater } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import { createRoot } from "react-dom/client";
import { firstValueFrom } from "rxjs";

const complaints = [];
const cell = { width: 24, height: 38, gap: 8 };

/* Some are there twice, by an older name. */
const transformers = new Map(Object.values(standardTransformers).map((transformer) => [transformer.id, transformer]));

/* -- Field configuration: what may stand in `fieldConfig`, and what becomes of it. -- */

const processors = {
	unit: unitOverrideProcessor, decimals: numberOverrideProcessor, min: numberOverrideProcessor,
	max: numberOverrideProcessor, displayName: displayNameOverrideProcessor, noValue: identityOverrideProcessor,
	color: identityOverrideProcessor, thresholds: thresholdsOverrideProcessor, mappings: valueMappingsOverrideProcessor,
	links: dataLinksOverrideProcessor, description: identityOverrideProcessor,
};
const customs = [
	"drawStyle", "lineWidth", "fillOpacity", "showPoints", "stacking", "thresholdsStyle", "spanNulls", "lineInterpolation",
	"axisSoftMax", "axisSoftMin", "axisPlacement", "axisLabel", "hideFrom", "lineStyle", "gradientMode", "pointSize",
	"align", "filterable", "cellOptions", "width", "minWidth", "hidden", "inspect", "scaleDistribution",
];

const registry = new FieldConfigOptionsRegistry(() => [
	...Object.entries(processors).map(([id, process]) => ({ id, path: id, process })),
	...customs.map((name) => ({ id: `custom.${name}`, path: name, isCustom: true, process: identityOverrideProcessor })),
].map((item) => ({ name: item.id, shouldApply: () => true, settings: {}, editor: null, override: null, ...item })));

function unknownIn({ defaults, overrides }) {
	const used = [
		...Object.keys(defaults).filter((key) => key !== "custom"),
		...Object.keys(defaults.custom ?? {}).map((key) => `custom.${key}`),
		...overrides.flatMap((override) => override.properties.map((property) => property.id)),
	];
	return used.filter((id) => !registry.getIfExists(id));
}

/* -- Variables: $name, ${name}, ${name:queryparam}, and those of a data link. -- */

function interpolator({ variables, from, to }) {
	const query = (name) => [variables[name]].flat().map((value) => `var-${name}=${encodeURIComponent(value)}`).join("&");
	return (text, scopes) => text?.replace(/\$\{([\w.]+)(?::(\w+))?\}|\$(\w+)/g, (whole, braced, format, bare) => {
		const name = braced ?? bare;
		const context = scopes?.__dataContext?.value;
		if (name === "__url_time_range")
			return `from=${from}&to=${to}`;
		if (name.startsWith("__data.fields.") && context)
			return encodeURIComponent(getFieldDisplayValuesProxy(context)[name.slice(14)]);
		if (name === "__value.raw" && context)
			return encodeURIComponent(context.field.values[context.rowIndex]);
		if (!(name in variables)) {
			complaints.push(`no value for ${whole}`);
			return whole;
		}
		return format === "queryparam" ? query(name) : String(variables[name]);
	});
}

/* -- Answers become frames, as Grafana's data source for Prometheus makes them. -- */

const numberOf = (text) => ({ "+Inf": Infinity, "-Inf": -Infinity })[text] ?? Number(text);

function legend(target, labels) {
	const given = target.legendFormat?.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "");
	return given || `{${Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(", ")}}`;
}

function framesOfSeries(target, series) {
	return series.map(({ metric, values, value }) => {
		const points = values ?? [value];
		return {
			refId: target.refId, length: points.length, fields: [
				{ name: "Time", type: FieldType.time, config: {}, values: points.map(([time]) => time * 1000) },
				{
					name: "Value", type: FieldType.number, labels: metric,
					config: { displayNameFromDS: legend(target, metric) }, values: points.map(([, text]) => numberOf(text)),
				},
			],
		};
	});
}

function frameOfTable(target, series, isOnlyOne) {
	const labels = [...new Set(series.flatMap(({ metric }) => Object.keys(metric)))].sort();
	const column = (name, type, read) => ({ name, type, config: {}, values: series.map(read) });
	return [{
		refId: target.refId, length: series.length, fields: [
			column("Time", FieldType.time, ({ value }) => value[0] * 1000),
			...labels.map((label) => column(label, FieldType.string, ({ metric }) => metric[label] ?? "")),
			column(isOnlyOne ? "Value" : `Value #${target.refId}`, FieldType.number, ({ value }) => numberOf(value[1])),
		],
	}];
}

/* A gap where there is no sample, as the server makes it: a line must not bridge what nobody knows. */
function withGaps(frame, { from, to, step }) {
	const [time, value] = frame.fields;
	const known = new Map(time.values.map((moment, i) => [Math.round((moment - from) / step / 1000), value.values[i]]));
	const moments = Array.from({ length: Math.floor((to - from) / step / 1000) + 1 }, (_, i) => i);
	time.values = moments.map((i) => from + i * step * 1000);
	value.values = moments.map((i) => known.get(i) ?? null);
	frame.length = moments.length;
	return frame;
}

function framesOf(panel, answers, range) {
	return panel.targets.flatMap((target) => {
		const series = answers[target.refId];
		if (target.format === "table")
			return frameOfTable(target, series, panel.targets.length === 1);
		const frames = framesOfSeries(target, series);
		return target.range ? frames.map((frame) => withGaps(frame, range)) : frames;
	});
}

async function dataOf(panel, scene, theme, interpolate) {
	const unknown = unknownIn(panel.fieldConfig);
	if (unknown.length)
		complaints.push(`${panel.title}: unknown field configuration ${unknown}`);
	const data = await firstValueFrom(transformDataFrame(
		panel.transformations ?? [], framesOf(panel, scene.answers[panel.id], scene.range), { interpolate }));
	const shown = applyFieldOverrides({
		data, fieldConfig: panel.fieldConfig, fieldConfigRegistry: registry, replaceVariables: interpolate, theme,
		timeZone: "utc",
	});
	cacheFieldDisplayNames(shown);
	return shown;
}

/* -- Panels -- */

function valuesOf({ frames, panel, theme, interpolate }) {
	return getFieldDisplayValues({
		data: frames, fieldConfig: panel.fieldConfig, reduceOptions: panel.options.reduceOptions,
		replaceVariables: interpolate, theme, timeZone: "utc",
	});
}

/* `Value` draws one of the values. */
function Repeated({ panel, width, height, theme, Value, ...rest }) {
	return <VizRepeater getValues={() => valuesOf({ panel, theme, ...rest })} width={width} height={height}
		getAlignmentFactors={getDisplayValueAlignmentFactors} source={rest.frames} renderCounter={1}
		orientation={panel.options.orientation} autoGrid={panel.options.orientation === "auto"}
		renderValue={({ value, ...one }) => <Value {...panel.options} {...one} {...value} value={value.display} theme={theme} />} />;
}

const kinds = {
	timeseries: ({ frames, panel, width, height, theme, scene }) =>
		<TimeSeries frames={frames} width={width} height={height} timeZone="utc" theme={theme} options={panel.options}
			legend={panel.options.legend}
			timeRange={{ from: dateTime(scene.range.from), to: dateTime(scene.range.to), raw: {} }} />,
	table: ({ frames, panel, width, height }) =>
		<TableNG data={frames[0]} width={width} height={height} sortBy={panel.options.sortBy}
			cellHeight={panel.options.cellHeight} structureRev={1} fieldConfig={panel.fieldConfig} />,
	stat: (props) => <Repeated {...props} Value={BigValue} />,
	bargauge: (props) => <Repeated {...props} Value={({ view, ...bar }) =>
		<BarGauge {...bar} display={view.getFieldDisplayProcessor(0)} valueDisplayMode={props.panel.options.valueMode} />} />,
	text: ({ panel, interpolate }) =>
		<div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(interpolate(panel.options.content)) }} />,
};

const px = (cells, size) => cells * (size + cell.gap) - cell.gap;

function isEmpty(panel, frames) {
	return panel.type !== "text" && !frames.some((frame) => frame.length);
}

function PanelFrame({ panel, width, unit, interpolate, frames, ...rest }) {
	const height = px(panel.gridPos.h, cell.height - cell.gap);
	const Content = kinds[panel.type];
	const nothing = isEmpty(panel, frames) && panel.type !== "stat";
	return <div className="panel" data-title={panel.title} data-type={panel.type} style={{
		left: panel.gridPos.x * unit, top: panel.gridPos.y * cell.height, width, height,
	}}>
		<PanelChrome title={interpolate(panel.title)} description={panel.description} width={width} height={height}
			padding={panel.type === "table" ? "none" : "md"}>
			{(innerWidth, innerHeight) => nothing ? <div className="no-data">{panel.fieldConfig.defaults.noValue ?? "No data"}</div> :
				<Content {...{ panel, frames, interpolate, ...rest }} width={innerWidth} height={innerHeight} />}
		</PanelChrome>
	</div>;
}

function Bar({ dashboard, scene, interpolate }) {
	const shown = (value) => [value].flat().map((one) => one === ".+" ? "All" : one).join(" + ");
	return <header>
		<h1>{dashboard.title}</h1>
		{dashboard.templating.list.map(({ name, label }) =>
			<span key={name} className="variable"><b>{label}</b>{shown(scene.variables[name])}</span>)}
		<nav>{dashboard.links.map(({ title, url }) => <a key={title} href={url || "#"}>{title}</a>)}</nav>
	</header>;
}

function Dashboard({ dashboard, scene, theme, interpolate, frames }) {
	const unit = (window.innerWidth - cell.gap) / 24;
	const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
	return <ThemeContext.Provider value={theme}>
		<GlobalStyles />
		<Bar {...{ dashboard, scene, interpolate }} />
		<main style={{ height: bottom * cell.height }}>
			{dashboard.panels.map((panel) => <PanelFrame key={panel.id} {...{ panel, scene, theme, interpolate, unit }}
				frames={frames[panel.id]} width={panel.gridPos.w * unit - cell.gap} />)}
		</main>
	</ThemeContext.Provider>;
}

/* -- What the test wants to know, and cannot see on the page. -- */

function facts(panel, frames) {
	const fields = frames.flatMap((frame) => frame.fields.map((field) => ({ field, frame })));
	return {
		rows: frames.reduce((sum, frame) => sum + frame.length, 0),
		fields: fields.map(({ field, frame }) => ({
			name: getFieldDisplayName(field, frame, frames), type: field.type, unit: field.config.unit, values: field.values,
			links: field.config.links?.length ? field.getLinks({ valueRowIndex: 0 }).map(({ href }) => href) : [],
		})),
	};
}

async function show({ dashboard, scene, dark }) {
	standardTransformersRegistry.setInit(() => [...transformers.values()].map((transformation) =>
		({ id: transformation.id, name: transformation.name, transformation: async () => transformation, editor: () => null })));
	locationUtil.initialize({
		config: { appSubUrl: "", appUrl: location.origin }, getVariablesUrlParams: () => ({}), getTimeRangeForUrl: () => ({}),
	});
	const theme = createTheme({ colors: { mode: dark ? "dark" : "light" } });
	const interpolate = interpolator({ variables: scene.variables, from: scene.range.from, to: scene.range.to });
	const frames = {};
	for (const panel of dashboard.panels) {
		if (!kinds[panel.type])
			complaints.push(`${panel.title}: no component for ${panel.type}`);
		frames[panel.id] = panel.type === "text" ? [] : await dataOf(panel, scene, theme, interpolate);
	}
	createRoot(document.getElementById("root")).render(<Dashboard {...{ dashboard, scene, theme, interpolate, frames }} />);
	return {
		complaints,
		facts: Object.fromEntries(dashboard.panels.map((panel) => [panel.title, facts(panel, frames[panel.id])])),
	};
}

window.show = show;
